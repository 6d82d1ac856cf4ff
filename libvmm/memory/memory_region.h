// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_MEMORY_MEMORY_REGION_H_
#define LIBVMM_MEMORY_MEMORY_REGION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/unique_fd.h"

namespace libvmm {

// Host memory that can become guest memory: a page-aligned run of this
// process's address space with what stands behind it. It has no guest-physical
// address; GuestMemory gives it one, and a KVM memory slot lends it to the
// guest.
//
//   LIBVMM_ASSIGN_OR_RETURN(MemoryRegion ram,
//                    MemoryRegion::Anonymous({.size = 64 << 20}));
//   LIBVMM_RETURN_IF_ERROR(memory->Add(Gpa(0), ram));
//
// The bytes are shared with the guest and change at any moment; devices reach
// them through GuestMemory. data() and bytes() are for those who set the guest
// up and for system calls.
//
// Thread-safety: immutable. Copies of one handle may be used by several
//     threads.
// Ownership: a handle shares the mapping with its copies and slices. The
//     mapping, and the descriptor behind it, go with the last of them. External
//     memory stays the embedder's.
// Errors: factories name the option or the system call, with its value. Sizes,
//     offsets and addresses that are not multiples of PageSize() (or of the
//     huge page, with hugetlb) are kInvalidArgument.
// Cost: a copy is one atomic increment. A factory is one mmap(2) and one system
//     call for each option that is not the default.
class MemoryRegion {
 public:
  enum class Kind : uint8_t {
    kNone,  // A default-constructed handle.
    kAnonymous,
    kMemfd,
    kFile,
    kGuestMemfd,
    kExternal,
  };

  enum class HugePages : uint8_t {
    // What the system does by itself (/sys/kernel/mm/transparent_hugepage).
    kDefault,
    // Small pages only. With many small guests this saves most of the memory:
    // one touched byte costs 4 KiB, not 2 MiB.
    kNever,
    // Transparent huge pages wherever the kernel can, on a 2 MiB aligned
    // address.
    kAlways,
    // Pages from the hugetlbfs pool of 2 MiB, or 1 GiB, pages. The size is a
    // multiple of it. kResourceExhausted when the pool is too small.
    kHugetlb,
    kHugetlb1GiB,
  };

  struct AnonymousOptions {
    // Bytes; not zero.
    uint64_t size = 0;
    HugePages huge_pages = HugePages::kDefault;
    // Allocate every page now (MADV_POPULATE_WRITE), so that the guest takes no
    // host page fault later and a lack of memory shows here.
    bool prefault = false;
    // Leave the pages out of the kernel's commit accounting (MAP_NORESERVE). A
    // host that then runs out kills the process, or for hugetlb raises SIGBUS.
    bool no_reserve = false;
    // Take pages from this NUMA node only (MPOL_BIND).
    std::optional<int> numa_node = std::nullopt;
    // Neither guest nor devices may write; the embedder fills it through
    // bytes().
    bool read_only = false;
  };

  // Private zero pages.
  static absl::StatusOr<MemoryRegion> Anonymous(
      const AnonymousOptions& options);

  struct MemfdOptions {
    uint64_t size = 0;
    // Shown in /proc/PID/maps; at most 249 bytes.
    absl::string_view name = "libvmm";
    // kDefault, kHugetlb, kHugetlb1GiB; or kAlways and kNever where shared
    // memory may use huge pages
    // (/sys/kernel/mm/transparent_hugepage/shmem_enabled).
    HugePages huge_pages = HugePages::kDefault;
    // Fix the file's size for ever (F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL),
    // so that no process holding fd() can make this one fault by truncating it.
    bool seal = true;
    bool prefault = false;
    std::optional<int> numa_node = std::nullopt;
    bool read_only = false;
  };

  // Zero pages of a new memfd, which other processes can map through fd().
  static absl::StatusOr<MemoryRegion> Memfd(const MemfdOptions& options);

  struct FileOptions {
    uint64_t size = 0;
    // Bytes into the file at which the region starts.
    uint64_t offset = 0;
    // False: writes by guest and host stay in this process (copy-on-write), the
    // file is never changed, and it need not be open for writing. True: they go
    // to the file.
    bool shared = false;
    // Fault the file in now.
    bool prefault = false;
    // Leave pages that are not shared out of the kernel's commit accounting, as
    // AnonymousOptions::no_reserve does.
    bool no_reserve = false;
    // With `shared`, a file open only for reading will do, and bytes() may then
    // not be written either.
    bool read_only = false;
  };

  // A part of a file or block device. kOutOfRange when a regular file ends
  // before the region's last page (a partial last page reads as zeroes beyond
  // the end); kPermissionDenied when the descriptor's mode does not allow the
  // mapping. If anyone truncates the file later, touching the lost pages raises
  // SIGBUS.
  static absl::StatusOr<MemoryRegion> File(UniqueFd fd,
                                           const FileOptions& options);

  struct GuestMemfdOptions {
    uint64_t size = 0;
    // Bytes into the guest_memfd.
    uint64_t offset = 0;
    bool prefault = false;
    bool read_only = false;
  };

  // A guest_memfd (KVM_CREATE_GUEST_MEMFD) made with GUEST_MEMFD_FLAG_MMAP; the
  // same descriptor and offset go into the memory slot. kFailedPrecondition for
  // a descriptor that cannot be mapped.
  static absl::StatusOr<MemoryRegion> GuestMemfd(
      UniqueFd fd, const GuestMemfdOptions& options);

  struct ExternalOptions {
    bool read_only = false;
  };

  // Memory of the embedder's own, which must stay mapped until the last handle
  // is gone and every GuestMemory that held one was reclaimed.
  static absl::StatusOr<MemoryRegion> External(std::span<std::byte> bytes,
                                               const ExternalOptions& options);
  static absl::StatusOr<MemoryRegion> External(std::span<std::byte> bytes) {
    return External(bytes, ExternalOptions{});
  }

  // A handle on nothing: size() is zero, data() null. No GuestMemory takes it.
  MemoryRegion() = default;
  MemoryRegion(const MemoryRegion&) = default;
  MemoryRegion& operator=(const MemoryRegion&) = default;
  // The moved-from handle is as a default-constructed one.
  MemoryRegion(MemoryRegion&& other) noexcept { Swap(other); }
  MemoryRegion& operator=(MemoryRegion&& other) noexcept {
    MemoryRegion(std::move(other)).Swap(*this);
    return *this;
  }
  ~MemoryRegion() = default;

  // A part of this region that shares its mapping, for one backing at several
  // guest addresses (RAM around the 32-bit PCI hole). kInvalidArgument when it
  // is empty or not aligned, kOutOfRange when it does not lie inside.
  struct SliceOptions {
    uint64_t offset = 0;
    uint64_t size = 0;
  };
  absl::StatusOr<MemoryRegion> Slice(const SliceOptions& options) const;

  // The same bytes for guest and devices to read only.
  [[nodiscard]] MemoryRegion AsReadOnly() const;

  // First host-virtual address; a multiple of PageSize().
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] std::span<std::byte> bytes() const { return {data_, size_}; }

  // True when neither guest nor devices may write.
  [[nodiscard]] bool read_only() const { return read_only_; }
  [[nodiscard]] Kind kind() const;

  // The descriptor whose bytes from file_offset() on are this region's, to hand
  // to another process or to a memory slot; lent. -1 where there is none:
  // anonymous, external and copy-on-write file memory.
  [[nodiscard]] int fd() const;
  // Zero where fd() is -1.
  [[nodiscard]] uint64_t file_offset() const;

 private:
  struct Backing;

  MemoryRegion(std::shared_ptr<const Backing> backing, bool read_only);
  static MemoryRegion Make(Backing backing, bool read_only);
  void Swap(MemoryRegion& other) noexcept {
    std::swap(backing_, other.backing_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(read_only_, other.read_only_);
  }

  std::shared_ptr<const Backing> backing_;
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
  bool read_only_ = false;
};

}  // namespace libvmm

#endif  // LIBVMM_MEMORY_MEMORY_REGION_H_
