// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/runtime/runtime_code.h"

#include "libvmm/sandbox/runtime/runtime_layout.h"

// In runtime.S.
#define LIBVMM_LABEL(name)                           \
  extern "C" const std::byte libvmm_sandbox_##name[] \
      __attribute__((visibility("hidden")))
LIBVMM_LABEL(kernel_code);
LIBVMM_LABEL(kernel_code_end);
LIBVMM_LABEL(trap_resume);
LIBVMM_LABEL(kernel_syscall);
LIBVMM_LABEL(kernel_sysret);
LIBVMM_LABEL(kernel_refresh);
LIBVMM_LABEL(user_code);
LIBVMM_LABEL(user_code_end);
LIBVMM_LABEL(user_syscall);
LIBVMM_LABEL(call);
LIBVMM_LABEL(call_with_doubles);
LIBVMM_LABEL(return_by_syscall);
LIBVMM_LABEL(return_double_by_syscall);
LIBVMM_LABEL(returned_by_syscall);
LIBVMM_LABEL(return_by_port);
LIBVMM_LABEL(return_double_by_port);
LIBVMM_LABEL(returned_by_port);
LIBVMM_LABEL(probe);
#undef LIBVMM_LABEL

namespace libvmm::sandbox {
namespace {

Gva InKernelPage(const std::byte* label) {
  return RuntimeLayout::InKernel(RuntimeLayout::kKernelCode) +
         static_cast<uint64_t>(label - libvmm_sandbox_kernel_code);
}

Gva InUserPage(const std::byte* label) {
  return RuntimeLayout::kUserPages +
         static_cast<uint64_t>(label - libvmm_sandbox_user_code);
}

}  // namespace

std::span<const std::byte> RuntimeCode::Kernel() {
  return {libvmm_sandbox_kernel_code, libvmm_sandbox_kernel_code_end};
}
std::span<const std::byte> RuntimeCode::User() {
  return {libvmm_sandbox_user_code, libvmm_sandbox_user_code_end};
}

Gva RuntimeCode::TrapEntry(uint8_t vector) {
  return InKernelPage(libvmm_sandbox_kernel_code) + vector * kTrapEntrySize;
}
Gva RuntimeCode::trap_resume() {
  return InKernelPage(libvmm_sandbox_trap_resume);
}
Gva RuntimeCode::kernel_syscall() {
  return InKernelPage(libvmm_sandbox_kernel_syscall);
}
Gva RuntimeCode::kernel_sysret() {
  return InKernelPage(libvmm_sandbox_kernel_sysret);
}
Gva RuntimeCode::kernel_refresh() {
  return InKernelPage(libvmm_sandbox_kernel_refresh);
}
Gva RuntimeCode::user_syscall() {
  return InUserPage(libvmm_sandbox_user_syscall);
}
Gva RuntimeCode::call() { return InUserPage(libvmm_sandbox_call); }
Gva RuntimeCode::call_with_doubles() {
  return InUserPage(libvmm_sandbox_call_with_doubles);
}
Gva RuntimeCode::return_by_syscall() {
  return InUserPage(libvmm_sandbox_return_by_syscall);
}
Gva RuntimeCode::return_double_by_syscall() {
  return InUserPage(libvmm_sandbox_return_double_by_syscall);
}
Gva RuntimeCode::returned_by_syscall() {
  return InUserPage(libvmm_sandbox_returned_by_syscall);
}
Gva RuntimeCode::return_by_port() {
  return InUserPage(libvmm_sandbox_return_by_port);
}
Gva RuntimeCode::return_double_by_port() {
  return InUserPage(libvmm_sandbox_return_double_by_port);
}
Gva RuntimeCode::returned_by_port() {
  return InUserPage(libvmm_sandbox_returned_by_port);
}
Gva RuntimeCode::probe() { return InUserPage(libvmm_sandbox_probe); }

}  // namespace libvmm::sandbox
