# What scripts/demo has GDB do, once it is attached to the kernel at its first instruction.
set pagination off
set confirm off
# scripts/demo looks for the verdict in this file.
set logging file build/demo.log
set logging overwrite on
set logging enabled on

echo \n== add-symbol-file: the names in the user program\n
add-symbol-file build/kernel/programs/editor

echo \n== kdbg canary --syscalls: check the stack guard around every system call from now on\n
kdbg canary --syscalls

# An orderly end stops here too, so that there still is a kernel to look at.
tbreak *power_off

echo \n== continue\n
continue

if (unsigned long) $pc != (unsigned long) &power_off
  echo \n== kdbg ring --last 4: what was asked for\n
  kdbg ring --last 4
else
  if $edi == 0
    echo \n== the run ended healthy: every program has ended, and no guard was damaged\n
  else
    echo \n== the run ended in a panic, and no guard was damaged; the kernel's own words are in build/serial.log\n
  end
end

set logging enabled off
