// SPDX-License-Identifier: Apache-2.0
// The Multiboot header (section 3.1) and the entry point behind it.

.set MAGIC, 0x1badb002
.set PAGE_ALIGN, 1 << 0   // modules on page boundaries
.set MEMORY_INFO, 1 << 1  // memory sizes and map
.set FLAGS, PAGE_ALIGN | MEMORY_INFO

.section .multiboot, "a"
.balign 4
  .long MAGIC
  .long FLAGS
  .long -(MAGIC + FLAGS)

.section .text
.globl _start
_start:
  mov $stack_end, %esp  // the specification gives none
  push %ebx             // the information structure
  push %eax             // the magic
  call Main
0:
  cli
  hlt
  jmp 0b

.section .bss
.balign 16
  .skip 16384
stack_end:

.section .note.GNU-stack, "", @progbits
