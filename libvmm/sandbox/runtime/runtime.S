// SPDX-License-Identifier: Apache-2.0
//
// The code that a sandbox's vCPU runs beside the program: one page for ring 0 and
// one for ring 3, see runtime_code.h. It is data to the host and never runs there.
// All of it is independent of where it stands. Port numbers are those of
// runtime_layout.h; a test keeps them equal.

#define SYSCALL_PORT 0x10
#define TRAP_PORT 0x11
#define DONE_PORT 0x12

#define GLOBAL(name) \
  .globl libvmm_sandbox_##name; \
  .hidden libvmm_sandbox_##name; \
  libvmm_sandbox_##name:

  .section .rodata
  .balign 64

// ---- Ring 0 ------------------------------------------------------------------

GLOBAL(kernel_code)

// One entry of 16 bytes per exception: pushes an error code where the CPU did not,
// and the vector. The stack then holds, from its top down: SS, RSP, RFLAGS, CS,
// RIP, error code, vector, CR2. The host reads them there.
  .set vector, 0
  .rept 32
    .balign 16
    // Vectors 8, 10 to 14, 17, 21, 29 and 30 come with an error code.
    .if (0x60227d00 >> vector) & 1
    .else
      push $0
    .endif
    push $vector
    jmp trap
    .set vector, vector + 1
  .endr

  .balign 16
trap:
  push %rax
  mov %cr2, %rax
  xchg %rax, (%rsp)
  out %al, $TRAP_PORT
GLOBAL(trap_resume)
  add $24, %rsp
  iretq

// Where SYSCALL arrives when it enters ring 0. No stack, no memory: the host has
// the registers. It comes back with RCX, R11 and RAX as SYSRET and the program want
// them; a call into the program starts here as well.
  .balign 16
GLOBAL(kernel_syscall)
  out %al, $SYSCALL_PORT
GLOBAL(kernel_sysret)
  sysretq

// Page-table work for the host, which has changed entries that the CPU may have
// cached: RSI ranges of {address, count} at RDI. Writing an entry's own value back
// tells a KVM that shadows the tables; the load of CR3 flushes the TLB.
  .balign 16
GLOBAL(kernel_refresh)
  mov (%rdi), %rax
  mov 8(%rdi), %rcx
1:
  mov (%rax), %rdx
  mov %rdx, (%rax)
  add $8, %rax
  dec %rcx
  jnz 1b
  add $16, %rdi
  dec %rsi
  jnz libvmm_sandbox_kernel_refresh
  mov %cr3, %rax
  mov %rax, %cr3
  out %al, $DONE_PORT
  ud2
GLOBAL(kernel_code_end)

// ---- Ring 3 ------------------------------------------------------------------

  .balign 64
GLOBAL(user_code)

// Where SYSCALL arrives when it stays in ring 3. The host goes on at RCX.
GLOBAL(user_syscall)
  out %al, $SYSCALL_PORT
  ud2

// The way into a function or program: RAX is its address, R10 the fourth argument
// (SYSRET needs RCX), RBX where eight doubles stand. DS and ES are set here, since
// a KVM that runs ring 3 on the host's descriptor tables leaves them as another
// program had them.
  .balign 16
GLOBAL(call_with_doubles)
  movsd (%rbx), %xmm0
  movsd 8(%rbx), %xmm1
  movsd 16(%rbx), %xmm2
  movsd 24(%rbx), %xmm3
  movsd 32(%rbx), %xmm4
  movsd 40(%rbx), %xmm5
  movsd 48(%rbx), %xmm6
  movsd 56(%rbx), %xmm7
GLOBAL(call)
  xor %ecx, %ecx
  mov %ecx, %ds
  mov %ecx, %es
  mov %r10, %rcx
  jmp *%rax

// Where a function returns to: by SYSCALL if that enters ring 0, else by the port.
// A double is handed over in RAX.
  .balign 16
GLOBAL(return_double_by_syscall)
  movq %xmm0, %rax
GLOBAL(return_by_syscall)
  syscall
GLOBAL(returned_by_syscall)
  ud2

  .balign 16
GLOBAL(return_double_by_port)
  movq %xmm0, %rax
GLOBAL(return_by_port)
  out %al, $SYSCALL_PORT
GLOBAL(returned_by_port)
  ud2

// For the probe of how SYSCALL enters.
  .balign 16
GLOBAL(probe)
  syscall
  ud2
GLOBAL(user_code_end)

  .section .note.GNU-stack, "", @progbits
