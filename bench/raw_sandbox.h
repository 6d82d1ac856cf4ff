// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BENCH_RAW_SANDBOX_H_
#define LIBVMM_BENCH_RAW_SANDBOX_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/boot/page_tables.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/program/program.h"

struct kvm_run;

namespace libvmm::bench {

// What a RawSandbox starts from: a memfd with the runtime's pages, page tables
// and a program without imports resolved but one, put together once. All pages
// of the program are there, as after Sandbox::Freeze.
class RawSandboxImage {
 public:
  static constexpr uint64_t kMemorySize = uint64_t{64} << 20;
  static constexpr uint64_t kStackSize = uint64_t{2} << 20;

  RawSandboxImage(const sandbox::Engine& engine,
                  const sandbox::Program& program);
  RawSandboxImage(const RawSandboxImage&) = delete;
  RawSandboxImage& operator=(const RawSandboxImage&) = delete;
  ~RawSandboxImage();

  [[nodiscard]] Gva Find(absl::string_view function) const;

 private:
  friend class RawSandbox;

  Gpa Append(Gva gva, uint64_t size, PageAccess access);

  const sandbox::Engine& engine_;
  const sandbox::Program& program_;
  PageTables tables_;
  UniqueFd memory_;
  std::byte* bytes_ = nullptr;  // all of it
  Gpa next_;
  std::vector<std::byte> xsave_;
};

// What the sandbox is compared with: the same guest, entered and left in the
// same way, by plain system calls and without any of what makes the library
// safe: no copy is checked, no state is tracked. Aborts on failure.
//
// Thread-safety: thread-compatible.
// Ownership: owns everything until Destroy, which the destructor calls; refers
//     to the image.
class RawSandbox {
 public:
  // The system calls of a clone, up to and without the first KVM_RUN.
  explicit RawSandbox(const RawSandboxImage& image);
  RawSandbox(const RawSandbox&) = delete;
  RawSandbox& operator=(const RawSandbox&) = delete;
  ~RawSandbox() { Destroy(); }
  void Destroy();

  struct Arguments {
    uint64_t first = 0;
    uint64_t second = 0;
    // Bytes at the top of the stack that the caller uses.
    uint64_t reserved = 0;
  };
  // RAX. The host function adds.
  uint64_t Call(Gva function, Arguments arguments);
  // The same, but false when KVM_RUN was interrupted.
  bool TryCall(Gva function, Arguments arguments);
  // KVM_RUN once more after that; false when it was interrupted again.
  bool Continue();

  // Host memory of a guest address; it lies together as far as a segment or the
  // stack goes.
  [[nodiscard]] std::byte* At(Gva gva) const;
  // Where the last `size` bytes of the stack start.
  [[nodiscard]] static Gva StackTop(uint64_t size);

  // KVM_GET_DIRTY_LOG, a copy of each page, KVM_SET_XSAVE, and all registers in
  // the run page for the next KVM_RUN.
  void Reset();

  [[nodiscard]] kvm_run* run() const { return run_; }

 private:
  void SetUpVcpu();
  void RestoreRegisters();
  void EnterAt(Gva rip);
  bool Enter();

  const RawSandboxImage& image_;
  int vm_fd_ = -1;
  int vcpu_fd_ = -1;
  std::byte* memory_ = nullptr;
  kvm_run* run_ = nullptr;
  size_t run_size_ = 0;
  bool in_ring0_ = false;
  std::vector<uint64_t> dirty_;
};

}  // namespace libvmm::bench

#endif  // LIBVMM_BENCH_RAW_SANDBOX_H_
