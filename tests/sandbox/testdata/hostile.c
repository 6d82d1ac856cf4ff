/* SPDX-License-Identifier: Apache-2.0 */
/* A program that runs whatever machine code it is given. */
#include "libvmm/sandbox/guest/sandbox.h"

LIBVMM_IMPORT6(long, host_any, long, long, long, long, long, long)
LIBVMM_IMPORT2(long, host_text, long, long)

/* Where the code's results go, on pages of their own. */
__attribute__((aligned(4096))) unsigned char data[16 << 12] = {1};
static unsigned long counter = 41;

/* Writable and executable: one page, with nothing behind it. */
__asm__(
    ".pushsection .hostile, \"awx\", @progbits\n"
    ".balign 4096\n"
    ".globl code_page\n"
    "code_page:\n"
    ".fill 4096, 1, 0xcc\n"
    ".popsection\n");

/*
 * run_code(bytes, size, registers): copies the code to code_page and enters it
 * with RAX, RBX, RCX, RDX, RSI, RDI, RBP, R8 to R15 of the array; with its last
 * element for RSP unless that is zero. The code may return.
 */
__asm__(
    ".globl run_code\n"
    "run_code:\n"
    "  mov %rdx, %r11\n"
    "  mov %rsi, %rcx\n"
    "  mov %rdi, %rsi\n"
    "  lea code_page(%rip), %rdi\n"
    "  rep movsb\n"
    "  mov 0x00(%r11), %rax\n"
    "  mov 0x08(%r11), %rbx\n"
    "  mov 0x10(%r11), %rcx\n"
    "  mov 0x18(%r11), %rdx\n"
    "  mov 0x20(%r11), %rsi\n"
    "  mov 0x28(%r11), %rdi\n"
    "  mov 0x30(%r11), %rbp\n"
    "  mov 0x38(%r11), %r8\n"
    "  mov 0x40(%r11), %r9\n"
    "  mov 0x48(%r11), %r10\n"
    "  mov 0x58(%r11), %r12\n"
    "  mov 0x60(%r11), %r13\n"
    "  mov 0x68(%r11), %r14\n"
    "  mov 0x70(%r11), %r15\n"
    "  cmpq $0, 0x78(%r11)\n"
    "  je 1f\n"
    "  mov 0x78(%r11), %rsp\n"
    "1:\n"
    "  mov 0x50(%r11), %r11\n"
    "  jmp code_page\n");

LIBVMM_EXPORT int add(int a, int b) { return a + b; }
LIBVMM_EXPORT unsigned long count(void) { return ++counter; }
LIBVMM_EXPORT long call_host(long a, long b, long c, long d, long e, long f) {
  return host_any(a, b, c, d, e, f);
}
LIBVMM_EXPORT long call_host_text(long a, long b) { return host_text(a, b); }

/* Stores the general registers and flags that a function is entered with. */
__asm__(
    ".globl registers_at_entry\n"
    "registers_at_entry:\n"
    "  mov %rax, data(%rip)\n"
    "  mov %rbx, data+8(%rip)\n"
    "  mov %rcx, data+16(%rip)\n"
    "  mov %rdx, data+24(%rip)\n"
    "  mov %rsi, data+32(%rip)\n"
    "  mov %rdi, data+40(%rip)\n"
    "  mov %rbp, data+48(%rip)\n"
    "  mov %rsp, data+56(%rip)\n"
    "  mov %r8, data+64(%rip)\n"
    "  mov %r9, data+72(%rip)\n"
    "  mov %r10, data+80(%rip)\n"
    "  mov %r11, data+88(%rip)\n"
    "  mov %r12, data+96(%rip)\n"
    "  mov %r13, data+104(%rip)\n"
    "  mov %r14, data+112(%rip)\n"
    "  mov %r15, data+120(%rip)\n"
    "  pushf\n"
    "  pop %rax\n"
    "  mov %rax, data+128(%rip)\n"
    "  ret\n");

LIBVMM_EXPORT void spin(void) {
  for (;;) __asm__ volatile("");
}
