/* Plain loops, of which a compiler makes copies and fills with vectors. */
typedef unsigned char byte;
typedef unsigned long size_t;

void *loop_memcpy(byte *restrict to, const byte *restrict from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = from[i];
	return to;
}

void *loop_memmove(byte *to, const byte *from, size_t size)
{
	if (to < from)
		for (size_t i = 0; i < size; i++)
			to[i] = from[i];
	else
		for (size_t i = size; i--;)
			to[i] = from[i];
	return to;
}

void *loop_memset(byte *to, int value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = value;
	return to;
}
