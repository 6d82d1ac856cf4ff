// SPDX-License-Identifier: Apache-2.0
// A library to preload (LD_PRELOAD) into any program: when the program ends, the
// file $LIBVMM_KVM_CALLS.<process id> says what the kernel granted it of KVM,
// one line each and none twice:
//
//   call KVM_RUN       an ioctl that did not fail
//   enable 192         KVM_ENABLE_CAP of this capability did not fail
//   capability 192 1   the largest answer to KVM_CHECK_EXTENSION
//   exit 2             KVM_RUN returned with this reason
//
// Programs whose ioctl calls are scripted by the linker's --wrap are seen only
// as far as they reach the C library. A child that ends by _exit says nothing.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <iterator>

#include "libvmm/kvm/abi.h"

namespace {

struct Request {
  unsigned long code;
  const char* name;
};
constexpr Request kRequests[] = {
#define LIBVMM_KVM_CODE(name, code) {code, #name},
#define LIBVMM_KVM_SIZE(name, size)
#include "libvmm/kvm/abi_rows.inc"
#undef LIBVMM_KVM_CODE
#undef LIBVMM_KVM_SIZE
};

std::array<std::atomic<bool>, std::size(kRequests)> granted;
std::array<std::atomic<int>, 256> capabilities;
std::array<std::atomic<bool>, 256> enabled;
std::array<std::atomic<bool>, 64> exits;
// Where each vCPU's run page is, by its descriptor.
std::array<std::atomic<const kvm_run*>, 65536> run_pages;

using Ioctl = int (*)(int, unsigned long, ...);
using Mmap = void* (*)(void*, size_t, int, int, int, off_t);

template <typename Function>
Function Next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

template <typename Array>
bool IsIndex(const Array& array, uint64_t index) {
  return index < array.size();
}

void Note(int fd, unsigned long code, unsigned long argument, int result) {
  for (size_t i = 0; i < std::size(kRequests); ++i) {
    if (kRequests[i].code == code) granted[i] = true;
  }
  if (code == KVM_CHECK_EXTENSION && IsIndex(capabilities, argument) &&
      result > capabilities[argument]) {
    capabilities[argument] = result;
  } else if (code == KVM_ENABLE_CAP) {
    const auto* const cap = reinterpret_cast<const kvm_enable_cap*>(argument);
    if (IsIndex(enabled, cap->cap)) enabled[cap->cap] = true;
  } else if (code == KVM_RUN && IsIndex(run_pages, static_cast<uint64_t>(fd))) {
    const kvm_run* const page = run_pages[static_cast<size_t>(fd)];
    if (page != nullptr && IsIndex(exits, page->exit_reason)) {
      exits[page->exit_reason] = true;
    }
  }
}

__attribute__((destructor)) void Write() {
  const char* const prefix = std::getenv("LIBVMM_KVM_CALLS");
  if (prefix == nullptr) return;
  char path[4096];
  std::snprintf(path, sizeof(path), "%s.%d", prefix, ::getpid());
  std::FILE* const file = std::fopen(path, "we");
  if (file == nullptr) return;
  for (size_t i = 0; i < granted.size(); ++i) {
    if (granted[i]) std::fprintf(file, "call %s\n", kRequests[i].name);
  }
  for (size_t i = 0; i < capabilities.size(); ++i) {
    if (enabled[i]) std::fprintf(file, "enable %zu\n", i);
    if (capabilities[i] != 0) {
      std::fprintf(file, "capability %zu %d\n", i, capabilities[i].load());
    }
  }
  for (size_t i = 0; i < exits.size(); ++i) {
    if (exits[i]) std::fprintf(file, "exit %zu\n", i);
  }
  std::fclose(file);
}

}  // namespace

extern "C" int ioctl(int fd, unsigned long request, ...) {
  static const Ioctl next = Next<Ioctl>("ioctl");
  std::va_list list;
  va_start(list, request);
  const unsigned long argument = va_arg(list, unsigned long);
  va_end(list);
  const int result = next(fd, request, argument);
  if (result >= 0) Note(fd, request, argument, result);
  return result;
}

// A run page is the first page of a shared mapping of a vCPU. What else is
// mapped so is never looked at, since KVM_RUN fails on its descriptor.
extern "C" void* mmap(void* start, size_t size, int protection, int flags,
                      int fd, off_t offset) {
  static const Mmap next = Next<Mmap>("mmap");
  void* const page = next(start, size, protection, flags, fd, offset);
  if (page != MAP_FAILED && fd >= 0 && offset == 0 &&
      static_cast<size_t>(fd) < run_pages.size()) {
    run_pages[static_cast<size_t>(fd)] = static_cast<const kvm_run*>(page);
  }
  return page;
}
