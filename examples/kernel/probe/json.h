/*
 * Events are written as JSON, one line each, straight to the output hook: no
 * memory is needed, so this works in the middle of a panic.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* json_begin("signal"), the members, json_end(). */
void json_begin(const char *type);
void json_end(void);

/* A key of NULL: an element of an array. */
void json_number(const char *key, int64_t value);
void json_hex(const char *key, uint64_t value);     /* the string "0x..." */
void json_bool(const char *key, bool value);
void json_text(const char *key, const char *text, unsigned at_most);

/* An object or an array within: bracket is '{' or '[', then '}' or ']'. */
void json_open(const char *key, char bracket);
void json_close(char bracket);
