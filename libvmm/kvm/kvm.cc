// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/kvm.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/mutex.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

constexpr int kApiVersion = 12;

absl::Status OpenError(int error, absl::string_view path) {
  switch (error) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
      return absl::NotFoundError(absl::StrCat(
          "There is no KVM at ", path,
          ": load the kernel module (modprobe kvm_intel or kvm_amd); inside a "
          "virtual machine, enable nested virtualization on its host"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(absl::StrCat(
          "This user may not open ", path,
          ": join the kvm group (usermod -aG kvm USER, then log in again)"));
    default:
      return ErrnoStatus(error, absl::StrCat("open(", path, ")"));
  }
}

}  // namespace

struct Kvm::CpuidCache {
  Mutex mutex;
  std::optional<Cpuid> supported ABSL_GUARDED_BY(mutex);
};

void Kvm::CpuidCacheDeleter::operator()(CpuidCache* cache) const {
  delete cache;
}

Kvm::Kvm(UniqueFd fd, size_t vcpu_mmap_size, const Features& features)
    : fd_(std::move(fd)),
      vcpu_mmap_size_(vcpu_mmap_size),
      features_(features),
      cpuid_cache_(new CpuidCache) {}

absl::StatusOr<Kvm> Kvm::Open(absl::string_view path) {
  UniqueFd fd(::open(std::string(path).c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return OpenError(errno, path);
  absl::StatusOr<Kvm> kvm = Adopt(std::move(fd));
  if (absl::IsInvalidArgument(kvm.status())) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", kvm.status().message()));
  }
  return kvm;
}

absl::StatusOr<Kvm> Kvm::Adopt(UniqueFd fd) {
  const absl::StatusOr<int> version =
      CallIoctl(fd.get(), LIBVMM_IOCTL(KVM_GET_API_VERSION), 0);
  // Any other file refuses the request, each in its own way.
  if (!version.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a KVM device: ", version.status().message()));
  }
  if (*version != kApiVersion) {
    return absl::UnimplementedError(
        absl::StrCat("KVM has ABI version ", *version, ", libvmm speaks only ",
                     kApiVersion));
  }
  LIBVMM_ASSIGN_OR_RETURN(
      const int mmap_size,
      CallIoctl(fd.get(), LIBVMM_IOCTL(KVM_GET_VCPU_MMAP_SIZE), 0));
  if (static_cast<size_t>(mmap_size) < sizeof(kvm_run)) {
    return absl::InternalError(absl::StrCat("KVM_GET_VCPU_MMAP_SIZE is ",
                                            mmap_size,
                                            ", smaller than struct kvm_run"));
  }
  const Features features = Features::Probe(fd.get());
  return Kvm(std::move(fd), static_cast<size_t>(mmap_size), features);
}

int Kvm::CheckExtension(unsigned capability) const {
  const int value = ::ioctl(fd_.get(), KVM_CHECK_EXTENSION, capability);
  return value < 0 ? 0 : value;
}

absl::StatusOr<const Cpuid*> Kvm::SupportedCpuid() const {
  MutexLock lock(cpuid_cache_->mutex);
  std::optional<Cpuid>& supported = cpuid_cache_->supported;
  if (!supported.has_value()) {
    LIBVMM_ASSIGN_OR_RETURN(supported, Cpuid::QuerySupported(fd_.get()));
  }
  return &*supported;
}

}  // namespace libvmm
