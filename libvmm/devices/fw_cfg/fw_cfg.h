// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_FW_CFG_FW_CFG_H_
#define LIBVMM_DEVICES_FW_CFG_FW_CFG_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "libvmm/base/address.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/fw_cfg/fw_cfg_items.h"
#include "libvmm/devices/fw_cfg/fw_cfg_registers.h"
#include "libvmm/devices/fw_cfg/fw_cfg_state.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// QEMU's firmware configuration device, in I/O ports (fw_cfg_registers.h, QEMU's
// docs/specs/fw_cfg.rst): how a guest's firmware learns what machine it is in.
// Map it at kPort, kSize ports. Its items never change.
//
// The guest selects an item and reads its bytes one after the other; behind its
// end, and from items that are not there, it reads zeros. Nothing can be
// written to an item. The file directory, signature and id are made here; files
// have keys from fw_cfg::Key::kFileFirst on, in the order of their names.
//
// With `memory`, the guest may have it copied there (DMA). A transfer is
// complete when the write that started it is. One that does not go well has the
// error bit in its control word, wherever that can be written, has copied
// nothing, and leaves the place in the item where it was:
// - a read to what is not all writable memory, or with more than kMaxZeros
//   bytes behind the item's end;
// - a write, since no item takes any.
// A transfer of no known kind does nothing, successfully. When several kinds
// are asked for, the first of read, write, skip counts. A selection is made
// first and stays, whatever follows.
//
// Accesses: Selector is written as a word, Data read as a byte, DMA Address
// written as two dwords, upper one first, or as 8 bytes; any part of it can be
// read. All else reads as all ones and is dropped when written.
//
// Thread-safety: thread-safe. Readers run outside the lock. CPUs that go on in
//     one item at once each get bytes of it, by Data each byte once; a transfer
//     that also selects is not disturbed by others.
// Ownership: owns the items; refers to `memory`.
// Errors: only Restore can fail. The guest cannot cause any.
// Cost: a register access takes a lock for some instructions. A DMA read costs
//     a copy of the item's bytes; a reader is called for up to 4 KiB at a time.
class FwCfg final : public IoDevice {
 public:
  static constexpr uint16_t kPort = fw_cfg::kPort;
  static constexpr uint16_t kSize = fw_cfg::kPortCount;
  // Zeros that one DMA read gives behind an item's end.
  static constexpr uint32_t kMaxZeros = 64 << 10;

  // `memory` null: without DMA, and then DMA Address is absent.
  explicit FwCfg(FwCfgItems items, GuestMemory* memory = nullptr);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

  void Reset();

  [[nodiscard]] FwCfgState Save() const;

  // kInvalidArgument: `state` is behind the end of the item that it selects, or
  // has a DMA address without DMA; then nothing has changed.
  [[nodiscard]] absl::Status Restore(const FwCfgState& state);

 private:
  // The selected item, or null.
  FwCfgItem* Find(uint16_t selector);

  void ReadDmaAddress(uint64_t offset, std::span<std::byte> data) const;
  void WriteDmaAddress(uint64_t offset, std::span<const std::byte> data);
  void Transfer(Gpa access);
  // Does what `control` says; false for an error.
  bool Perform(uint32_t control, uint32_t length, Gpa address);
  bool CopyOut(FwCfgItem* item, uint32_t offset, GpaRange to);

  // Fixed after construction; the readers are called from several threads.
  std::map<uint16_t, FwCfgItem> items_;
  GuestMemory* const memory_;

  mutable Mutex mutex_;
  FwCfgState state_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_FW_CFG_FW_CFG_H_
