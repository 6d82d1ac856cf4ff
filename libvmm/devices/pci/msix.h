// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_MSIX_H_
#define LIBVMM_DEVICES_PCI_MSIX_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/msi.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/pci/msix_state.h"

namespace libvmm {

// A function's MSI-X vectors: the table and the pending bits, as two devices
// that a BAR shows, and the sending of messages (PCI Local Bus 3.0, section
// 6.8.2). PciFunction makes one when asked and gives it the capability's
// Message Control.
//
// There are two ways to send, and a device may use both. Trigger sends through
// the `deliver` callback, or notes the vector as pending while it is masked. Or
// an irqfd sends, and `route_changed` says what for: a vector has a route while
// nothing masks it, and none otherwise; then the device collects in the eventfd
// what comes meanwhile, as a pending bit would.
//
// Table and pending bits want aligned accesses of 4 or 8 bytes. Other writes
// are dropped; other reads give the bytes that are there. 8 bytes are written
// at once. The pending bits are read-only.
//
// Thread-safety: thread-safe. `deliver` runs on the thread that calls Trigger,
//     or that takes the mask from a pending vector, several at once.
//     route_changed runs on the thread that changes the vector, before the
//     guest's write is complete, one at a time and in order. Neither runs under
//     a lock that Trigger, Route or a read takes; but a callback may not write
//     the table, nor call SetControl, Reset or Restore, nor wait for a thread
//     that does.
// Ownership: owns the callbacks. Must outlive the registrations of table() and
//     pba().
// Errors: of Create and Restore only.
// Cost: 24 bytes for each vector. A Trigger and a table access take a lock for
//     some instructions; a write takes one more, for as long as route_changed
//     runs. A write calls it for one vector, SetControl for each once.
class Msix {
 public:
  struct Options {
    // 1 to msix::kMaxVectors.
    uint16_t vectors = 1;
    // Sends a message now. Null: messages of Trigger go nowhere.
    absl::AnyInvocable<void(const Msi& message)> deliver = nullptr;
    // The vector's messages now go to `route`; nothing while it is masked or
    // MSI-X is off, as it is at first. Only called with what differs from the
    // last call.
    absl::AnyInvocable<void(uint16_t vector, const std::optional<Msi>& route)>
        route_changed = nullptr;
  };

  // kInvalidArgument: Options::vectors.
  static absl::StatusOr<std::unique_ptr<Msix>> Create(Options options);

  Msix(const Msix&) = delete;
  Msix& operator=(const Msix&) = delete;
  ~Msix();

  [[nodiscard]] uint16_t vectors() const { return vector_count_; }

  // The two devices and their sizes in bytes.
  [[nodiscard]] IoDevice& table() { return table_; }
  [[nodiscard]] uint64_t table_size() const;
  [[nodiscard]] IoDevice& pba() { return pba_; }
  [[nodiscard]] uint64_t pba_size() const;

  // What became of an interrupt.
  enum class Outcome : uint8_t {
    kDelivered,
    // Masked; sent when that ends.
    kPending,
    // MSI-X is off: the function interrupts with its pin instead.
    kDisabled,
    // There is no such vector.
    kNoVector,
  };

  // Interrupts with `vector`.
  Outcome Trigger(uint16_t vector);

  // Where the vector's messages go now; nothing while it is masked, MSI-X is
  // off, or there is no such vector.
  [[nodiscard]] std::optional<Msi> Route(uint16_t vector) const;
  [[nodiscard]] bool enabled() const;

  // The capability's Message Control. What was pending and is masked no more is
  // sent. Switching MSI-X off forgets nothing.
  struct Control {
    bool enabled = false;
    bool function_masked = false;
  };
  void SetControl(const Control& control);

  // Off, all vectors masked, nothing pending.
  void Reset();

  [[nodiscard]] MsixState Save() const;

  // kInvalidArgument: as MsixState::Validate, or another number of vectors;
  // then nothing has changed. Routes are told, and what is pending and not
  // masked is sent.
  [[nodiscard]] absl::Status Restore(const MsixState& state);

 private:
  using Vector = MsixState::Vector;

  // Both see offsets into their own part.
  class Table final : public IoDevice {
   public:
    explicit Table(Msix& msix) : msix_(msix) {}
    IoResult Read(uint64_t offset, std::span<std::byte> data) override;
    IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

   private:
    Msix& msix_;
  };
  class Pba final : public IoDevice {
   public:
    explicit Pba(Msix& msix) : msix_(msix) {}
    IoResult Read(uint64_t offset, std::span<std::byte> data) override;
    IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

   private:
    Msix& msix_;
  };

  explicit Msix(Options options);

  bool Masked(const Vector& vector) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<Msi> RouteOf(const Vector& vector) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint32_t ReadEntry(uint64_t offset) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteEntry(uint64_t offset, uint32_t value)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Tells a vector's route if it differs from the last one told, then sends
  // what is pending and masked no more.
  void Settle(uint16_t vector) ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void SettleAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);

  const uint16_t vector_count_;
  absl::AnyInvocable<void(const Msi& message)> deliver_;
  Table table_{*this};
  Pba pba_{*this};

  // Held by who changes entries or control, until all of it has been told.
  Mutex change_mutex_;
  absl::AnyInvocable<void(uint16_t vector, const std::optional<Msi>& route)>
      route_changed_ ABSL_GUARDED_BY(change_mutex_);
  // What route_changed_ was told last.
  std::vector<std::optional<Msi>> told_ ABSL_GUARDED_BY(change_mutex_);

  // Never held during a callback.
  mutable Mutex mutex_ ABSL_ACQUIRED_AFTER(change_mutex_);
  MsixState state_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_PCI_MSIX_H_
