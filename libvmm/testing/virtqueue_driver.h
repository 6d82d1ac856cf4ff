// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_VIRTQUEUE_DRIVER_H_
#define LIBVMM_TESTING_VIRTQUEUE_DRIVER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/ring/ring_layout.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm::testing {

// The driver's side of one virtqueue, split or packed, in guest memory: what a
// guest's kernel does (virtio 1.2, sections 2.7 and 2.8), in small steps, so
// that a test can stop between any two. And where each field of the ring is, to
// write there what no driver would.
//
//   VirtqueueDriver driver(memory, Gpa(0x1000), {.size = 8, .packed = true});
//   Virtqueue queue = *Virtqueue::Create(memory, driver.config());
//   driver.Add({{.gpa = request, .size = 16},
//               {.gpa = reply, .size = 512, .writable = true}});
//   driver.Publish();
//   ... the device works ...
//   std::optional<VirtqueueDriver::Used> used = driver.Collect();
//
// Thread-safety: thread-compatible; the device may be on another thread.
// Ownership: refers to the memory.
// Errors: none. Memory that the areas do not lie in is the test's bug and
//     aborts.
class VirtqueueDriver {
 public:
  struct Options {
    // A power of two, or packed any, up to 32768.
    uint16_t size = 16;
    bool packed = false;
    bool indirect = true;
    bool event_index = false;
    bool in_order = false;
    bool polled = false;
    // Of each indirect table.
    uint32_t table_size = 16;
  };

  struct Buffer {
    Gpa gpa = {};
    uint32_t size = 0;
    bool writable = false;
  };

  // A chain that the device gave back: the id that Add returned for it, and
  // how many bytes it says that it wrote.
  struct Used {
    uint16_t id = 0;
    uint32_t written = 0;

    friend constexpr bool operator==(const Used&, const Used&) = default;
  };

  // How a chain is laid out.
  enum class Layout : uint8_t {
    // A descriptor of the ring for each buffer.
    kDirect,
    // All in an indirect table.
    kIndirect,
    // The first buffer direct, the others in a table; split only.
    kMixed,
  };

  // Zeroes the areas and puts the ring at `area`, a multiple of 16.
  VirtqueueDriver(GuestMemory& memory, Gpa area, const Options& options);

  // Bytes that it takes there.
  [[nodiscard]] static uint64_t AreaSize(const Options& options);

  // What the device is to be told.
  [[nodiscard]] const VirtqueueConfig& config() const { return config_; }

  // ---- Chains ---------------------------------------------------------------

  // Writes a chain, which the device does not see yet. Nothing when there is no
  // room for it (or, indirect, the table is too short). The ids of chains in
  // the device's hands differ.
  std::optional<uint16_t> Add(std::span<const Buffer> buffers,
                              Layout layout = Layout::kDirect);
  std::optional<uint16_t> Add(std::initializer_list<Buffer> buffers,
                              Layout layout = Layout::kDirect) {
    return Add(std::span(buffers.begin(), buffers.size()), layout);
  }

  // Makes what was added available. True: the device wants to be notified.
  bool Publish();

  // The next chain that the device gave back, which is free again. Its id is
  // the device's word: one that is not in use is given, but frees nothing.
  std::optional<Used> Collect();

  // Chains added and not collected.
  [[nodiscard]] size_t in_flight() const { return in_flight_; }
  // Descriptors of the ring that are free.
  [[nodiscard]] uint16_t free_places() const { return free_places_; }

  // ---- Interrupts -----------------------------------------------------------

  // Asks for none. With the event index and a split ring that is an event that
  // is just past.
  void DisableInterrupts();
  // Asks for one at the next used chain, or with the event index after so many
  // more: `skip` chains (packed: places) first. True: there are used chains
  // already.
  bool EnableInterrupts(uint16_t skip = 0);

  // ---- The ring itself ------------------------------------------------------

  // Where descriptor `index` lies (split: of the table; packed: of the ring).
  [[nodiscard]] Gpa DescriptorAt(uint32_t index) const;
  // Where the table of the chain whose id is `id` lies.
  [[nodiscard]] Gpa TableAt(uint16_t id) const;
  void WriteDescriptor(Gpa at, const virtio::SplitDescriptor& descriptor);
  void WriteDescriptor(Gpa at, const virtio::PackedDescriptor& descriptor);
  [[nodiscard]] virtio::SplitDescriptor ReadSplit(Gpa at) const;
  [[nodiscard]] virtio::PackedDescriptor ReadPacked(Gpa at) const;

  // Split: makes any head available without looking, by Publish.
  void AddHead(uint16_t head);
  // Packed: the flags that make the descriptor at the next place available.
  [[nodiscard]] uint16_t AvailableFlags() const;

  // A field of the driver's or device's area: offsets as in ring_layout.h.
  [[nodiscard]] uint16_t LoadDriver(uint64_t offset) const;
  [[nodiscard]] uint16_t LoadDevice(uint64_t offset) const;
  void StoreDriver(uint64_t offset, uint16_t value);
  void StoreDevice(uint64_t offset, uint16_t value);

  // All that the ring and its tables take.
  [[nodiscard]] GpaRange area() const { return area_; }

 private:
  // What the driver remembers of a chain, by its id.
  struct Chain {
    bool in_use = false;
    // Split: its descriptors. Packed: how many places.
    std::vector<uint16_t> descriptors = {};
    uint16_t places = 0;
  };

  // A place of a packed ring and its wrap counter.
  struct Position {
    uint16_t place = 0;
    bool wrap = true;
  };

  std::optional<uint16_t> AddSplit(std::span<const Buffer> buffers,
                                   Layout layout);
  std::optional<uint16_t> AddPacked(std::span<const Buffer> buffers,
                                    Layout layout);
  void WriteTable(uint16_t id, std::span<const Buffer> buffers);
  bool PublishSplit();
  bool PublishPacked();
  std::optional<Used> CollectSplit();
  std::optional<Used> CollectPacked();
  void Forward(Position& position, uint32_t places) const;
  [[nodiscard]] uint32_t Linear(Position position) const;
  [[nodiscard]] bool UsedAt(Position position) const;

  [[nodiscard]] uint16_t Load(Gpa gpa, std::memory_order order) const;
  void Store(Gpa gpa, uint16_t value, std::memory_order order);

  GuestMemory& memory_;
  Options options_;
  VirtqueueConfig config_;
  GpaRange area_;
  Gpa tables_;

  std::vector<Chain> chains_;
  size_t in_flight_ = 0;
  uint16_t free_places_ = 0;
  // Split: descriptors. Packed: buffer ids. The longest unused first.
  std::deque<uint16_t> free_;

  // Split: free-running indices, and the last that was published.
  uint16_t next_available_ = 0;
  uint16_t published_ = 0;
  uint16_t next_used_ = 0;

  // Packed: the same. The first descriptor added since, whose second word is
  // kept back.
  Position place_available_;
  Position place_published_;
  Position place_used_;
  bool batch_ = false;
  uint64_t first_word_ = 0;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_VIRTQUEUE_DRIVER_H_
