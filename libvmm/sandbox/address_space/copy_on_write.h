// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_ADDRESS_SPACE_COPY_ON_WRITE_H_
#define LIBVMM_SANDBOX_ADDRESS_SPACE_COPY_ON_WRITE_H_

#include <memory>
#include <utility>

namespace libvmm::sandbox {

// A value that is shared with snapshots until its next change.
//
// Thread-safety: thread-compatible. What Share returned never changes and may
//     be read by any thread.
// Ownership: keeps the T of a change that Adopt threw away, so that going back
//     and forth between a snapshot and changes allocates nothing.
// Cost: Share and Adopt are pointer copies; the first Mutable after either
//     copies T.
template <typename T>
class CopyOnWrite {
 public:
  explicit CopyOnWrite(T value)
      : owned_(std::make_shared<T>(std::move(value))), current_(owned_) {}
  explicit CopyOnWrite(std::shared_ptr<const T> shared)
      : current_(std::move(shared)) {}

  const T& operator*() const { return *current_; }
  const T* operator->() const { return current_.get(); }

  // Another call may move the T.
  T& Mutable() {
    if (owned_ == nullptr) {
      if (spare_ != nullptr) {
        owned_ = std::move(spare_);
        *owned_ = *current_;
      } else {
        owned_ = std::make_shared<T>(*current_);
      }
      current_ = owned_;
    }
    return *owned_;
  }

  std::shared_ptr<const T> Share() {
    owned_.reset();
    return current_;
  }

  void Adopt(const std::shared_ptr<const T>& shared) {
    if (owned_ != nullptr) spare_ = std::move(owned_);
    current_ = shared;
  }

 private:
  // Nobody else has these two. current_ is owned_ unless that is null.
  std::shared_ptr<T> owned_;
  std::shared_ptr<T> spare_;
  std::shared_ptr<const T> current_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_ADDRESS_SPACE_COPY_ON_WRITE_H_
