// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/kvm_stub.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <utility>

#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"

namespace libvmm::testing {
namespace {

// As the kernel's: kvm_run, PIO data, coalesced ring.
constexpr off_t kRunSize = 3 * 4096;

kvm_run* stub_page = nullptr;
void (*stub_run)(kvm_run& page) = nullptr;

int NewDescriptor() {
  const int fd = ::memfd_create("kvm stub", MFD_CLOEXEC);
  if (fd >= 0 && ::ftruncate(fd, kRunSize) != 0) {
    ::close(fd);
    return -1;
  }
  return fd;
}

int Answer(unsigned long request, unsigned long argument) {
  switch (request) {
    case KVM_GET_API_VERSION:
      return 12;
    case KVM_GET_VCPU_MMAP_SIZE:
      return kRunSize;
    case KVM_CHECK_EXTENSION:
      return argument == KVM_CAP_SYNC_REGS ? KVM_SYNC_X86_VALID_FIELDS : 0;
    case KVM_CREATE_VM:
    case KVM_CREATE_VCPU:
      return NewDescriptor();
    default:
      errno = ENOTTY;
      return -1;
  }
}

}  // namespace

absl::StatusOr<Kvm> OpenKvmStub() {
  UniqueFd fd(NewDescriptor());
  if (!fd.valid()) return ErrnoStatus(errno, "memfd_create(kvm stub)");
  return Kvm::Adopt(std::move(fd));
}

absl::Status StubKvmRun(Vcpu& vcpu, void (*run)(kvm_run& page)) {
  LIBVMM_ASSIGN_OR_RETURN(stub_page, vcpu.run_page());
  stub_run = run;
  return absl::OkStatus();
}

}  // namespace libvmm::testing

extern "C" int __wrap_ioctl(int /*fd*/, unsigned long request, ...) {
  if (request == KVM_RUN) {
    libvmm::testing::stub_run(*libvmm::testing::stub_page);
    return 0;
  }
  std::va_list list;
  va_start(list, request);
  const unsigned long argument = va_arg(list, unsigned long);
  va_end(list);
  return libvmm::testing::Answer(request, argument);
}
