// SPDX-License-Identifier: Apache-2.0
// Requests of every kind, cut into buffers in any way, over a disk that does
// them at once or when told, in any order, against a model: statuses, bytes and
// written lengths are the model's, each chain comes back once, and what is on
// the disk is what the model has. Or, in hostile sessions, a driver that writes
// anything into rings and tables: what the disk is asked for stays inside it
// and inside guest memory that may be written, no more is under way than the
// ring has places, and after a reset all is well again.
// Input: two bytes of options, then steps of eight bytes: an action, two
// arguments, a byte of layout, a value.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "libvmm/devices/virtio/block/block_protocol.h"
#include "libvmm/devices/virtio/block/virtio_block.h"
#include "libvmm/devices/virtio/ring/ring_layout.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/held_disk.h"
#include "libvmm/testing/virtio_test_link.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

namespace block = virtio::block;
using testing::HeldDisk;
using testing::VirtioTestLink;
using testing::VirtqueueDriver;

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

constexpr uint64_t kSectors = 32;
constexpr size_t kCapacity = kSectors * block::kSectorSize;
constexpr uint16_t kQueueSize = 16;
// Memory that nobody may write.
constexpr Gpa kReadOnly{uint64_t{1} << 32};
constexpr size_t kReadOnlySize = 8192;

struct Step {
  uint8_t action;
  uint8_t a;
  uint8_t b;
  uint8_t layout;
  uint32_t value;
};

// What a driver sent, and what it is to get.
struct Expected {
  uint32_t type = 0;
  uint64_t sector = 0;
  // Of the data.
  uint64_t size = 0;
  std::vector<std::byte> data;
  bool unmap = false;
  Gpa in;
  uint64_t in_size = 0;
  // Known when it is finished.
  std::optional<uint8_t> status;
  std::vector<std::byte> read;
};

class Session {
 public:
  Session(uint8_t options, uint8_t features)
      : disk_({.read_only = (options & 8) != 0,
               .volatile_cache = (options & 16) == 0,
               .discard = true,
               .write_zeroes = true},
              kCapacity),
        model_(kCapacity) {
    device_ = *VirtioBlock::Create(
        disk_, {.queue_size = kQueueSize, .serial = "fuzz"});
    // Any part of what is offered.
    features_ = device_->traits().features & (uint64_t{features} << 7);
    link_ = std::make_unique<VirtioTestLink>(
        *device_, VirtioTestLink::Options{.features = features_,
                                          .packed = (options & 1) != 0,
                                          .event_index = (options & 2) != 0,
                                          .queue_size = kQueueSize,
                                          .memory_size = 4 << 20});
    hostile_ = (options & 4) != 0;
    MemoryRegion region =
        *MemoryRegion::Anonymous({.size = kReadOnlySize, .read_only = true});
    FUZZ_CHECK(link_->memory().Add(kReadOnly, region).ok());
    read_only_ = region.bytes();
    FUZZ_CHECK(link_->Activate());
    disk_.set_immediate(true);
  }

  void Run(const Step& step) {
    switch (step.action % 16) {
      case 0:
        immediate_ = step.a % 2 != 0;
        disk_.set_immediate(immediate_);
        break;
      case 1:
      case 2:
        Finish(step);
        break;
      case 3:
        Reset();
        break;
      case 4:
        Configure(step);
        break;
      case 5:
      case 6:
      case 7:
        if (hostile_) {
          Poke(step);
          break;
        }
        [[fallthrough]];
      default:
        Send(step);
        break;
    }
    Check();
  }

  void End() {
    if (!hostile_) {
      while (!pending_.empty()) FinishAt(0, BlockAnswer::kOk);
      Collect();
      FUZZ_CHECK(sent_.empty());
    }
    FUZZ_CHECK(std::ranges::all_of(
        read_only_, [](std::byte byte) { return byte == std::byte{0}; }));
    // Whatever has happened, a reset makes it good.
    Reset();
    hostile_ = false;
    immediate_ = true;
    disk_.set_immediate(true);
    Send({.action = 8, .a = 0, .b = 2, .layout = 0, .value = 1});
    Collect();
    FUZZ_CHECK(sent_.empty());
  }

 private:
  using Buffers = std::vector<VirtqueueDriver::Buffer>;

  // `size` bytes at `gpa` in pieces that `layout` chooses.
  static void Cut(Buffers& buffers, Gpa gpa, uint64_t size, bool writable,
                  uint8_t layout) {
    static constexpr uint32_t kPieces[] = {0, 1, 3, 16, 100, 512, 513, 4096};
    const uint32_t piece = kPieces[layout % 8];
    for (int i = 0; i < 3 && piece != 0 && size > piece; ++i) {
      buffers.push_back({.gpa = gpa, .size = piece, .writable = writable});
      gpa = gpa + piece;
      size -= piece;
    }
    if (size != 0) {
      buffers.push_back({.gpa = gpa,
                         .size = static_cast<uint32_t>(size),
                         .writable = writable});
    }
  }

  void Send(const Step& step) {
    static constexpr uint32_t kTypes[] = {block::kIn,
                                          block::kOut,
                                          block::kIn,
                                          block::kOut,
                                          block::kGetId,
                                          block::kFlushRequest,
                                          block::kDiscardRequest,
                                          block::kWriteZeroesRequest};
    if (link_->failed()) return;
    if (link_->driver(0).in_flight() == 0) link_->FreeAll();
    Expected sent;
    sent.type = step.a < 0xf0 ? kTypes[step.a % 8] : step.a;
    // Mostly inside.
    sent.sector = step.value % 64 == 63 ? ~uint64_t{0} - step.b % 4
                                        : step.value % (kSectors + 2);
    sent.size = uint64_t{step.b} % 4 * block::kSectorSize;
    if (step.b >= 0xf0) sent.size += step.b - 0xf0;

    std::vector<std::byte> out(sizeof(block::RequestHeader));
    const block::RequestHeader header{.type = sent.type, .sector = sent.sector};
    std::memcpy(out.data(), &header, sizeof header);
    sent.in_size = 1;
    const bool has_range = sent.type == block::kDiscardRequest ||
                           sent.type == block::kWriteZeroesRequest;
    if (sent.type == block::kOut) {
      sent.data.resize(sent.size);
      for (size_t i = 0; i < sent.size; ++i) {
        sent.data[i] = static_cast<std::byte>(step.value + i * 7);
      }
      out.insert(out.end(), sent.data.begin(), sent.data.end());
    } else if (has_range) {
      const block::Range range{
          .sector = sent.sector,
          .sectors = static_cast<uint32_t>(sent.size / block::kSectorSize),
          .flags = step.value >> 30};
      sent.size = range.sectors * block::kSectorSize;
      sent.unmap = range.flags == block::kUnmap;
      const auto bytes = std::as_bytes(std::span(&range, 1));
      out.insert(out.end(), bytes.begin(), bytes.end());
      if (range.flags > block::kUnmap) sent.status = block::kUnsupported;
      if (range.flags == block::kUnmap && sent.type == block::kDiscardRequest) {
        sent.status = block::kUnsupported;
      }
    } else if (sent.type == block::kGetId) {
      sent.size = step.b % 32;
      sent.in_size += sent.size;
    } else {
      sent.in_size += sent.size;
    }
    // A header that ends early; only where it shows.
    if (step.layout >= 0xf0) {
      out.resize(step.layout - 0xf0);
      sent.status = block::kIoError;
    }
    const Gpa from = link_->Put(out);
    sent.in = link_->Allocate(sent.in_size);
    FUZZ_CHECK(link_->memory().Fill({sent.in, sent.in_size}, std::byte{0xcc}));
    Buffers buffers;
    Cut(buffers, from, out.size(), /*writable=*/false, step.layout);
    Cut(buffers, sent.in, sent.in_size, /*writable=*/true,
        static_cast<uint8_t>(step.layout / 8));
    const auto layout = static_cast<VirtqueueDriver::Layout>(
        step.layout / 64 % (link_->queue(0)->config().packed ? 2 : 3));
    const auto id = link_->driver(0).Add(buffers, layout);
    if (!id.has_value()) return;
    if (hostile_) {
      link_->Kick(0);
      // What comes back may be anything, and any number of times.
      for (int i = 0; i < 2 * kQueueSize; ++i) {
        if (!link_->driver(0).Collect().has_value()) break;
      }
      return;
    }
    Predict(sent);
    const bool is_pending = !sent.status.has_value();
    if (is_pending) pending_.push_back(*id);
    FUZZ_CHECK(sent_.emplace(*id, std::move(sent)).second);
    const size_t submitted = disk_.submissions();
    link_->Kick(0);
    FUZZ_CHECK(!link_->failed());
    FUZZ_CHECK(disk_.submissions() - submitted == (is_pending ? 1u : 0u));
    if (is_pending) {
      const BlockRequest request = disk_.submitted().back();
      const Expected& expected = sent_.at(*id);
      FUZZ_CHECK(request.unmap == expected.unmap);
      FUZZ_CHECK(request.operation == BlockOperation::kFlush ||
                 (request.offset == expected.sector * block::kSectorSize &&
                  request.size == expected.size));
      if (immediate_) Done(pending_.size() - 1, BlockAnswer::kOk);
    }
    Collect();
  }

  // Sets the status unless the back-end has a say.
  void Predict(Expected& sent) {
    if (sent.status == block::kIoError) return;
    const bool can_write = (device_->traits().features & block::kReadOnly) == 0;
    const bool fits = sent.size % block::kSectorSize == 0 &&
                      sent.sector <= kSectors &&
                      sent.size / block::kSectorSize <= kSectors - sent.sector;
    switch (sent.type) {
      case block::kIn:
      case block::kOut:
        if (!fits || (sent.type == block::kOut && !can_write)) {
          sent.status = block::kIoError;
        } else if (sent.size == 0) {
          sent.status = block::kOk;
        }
        break;
      case block::kFlushRequest:
        if ((features_ & block::kFlush) == 0) {
          sent.status = block::kUnsupported;
        }
        break;
      case block::kGetId:
        sent.status =
            sent.size >= block::kIdSize ? block::kOk : block::kIoError;
        if (sent.status == block::kOk) {
          sent.read.resize(block::kIdSize);
          std::memcpy(sent.read.data(), "fuzz", 4);
        }
        break;
      case block::kDiscardRequest:
      case block::kWriteZeroesRequest: {
        const uint64_t feature = sent.type == block::kDiscardRequest
                                     ? block::kDiscard
                                     : block::kWriteZeroes;
        if ((features_ & feature) == 0) {
          sent.status = block::kUnsupported;
        } else if (sent.status.has_value()) {
          break;
        } else if (!fits) {
          sent.status = block::kIoError;
        } else if (sent.size == 0) {
          sent.status = block::kOk;
        }
        break;
      }
      default:
        sent.status = block::kUnsupported;
    }
  }

  // The model's side of a completion.
  void Done(size_t index, BlockAnswer answer) {
    FUZZ_CHECK(index < pending_.size());
    Expected& sent = sent_.at(pending_[index]);
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(index));
    sent.status = answer == BlockAnswer::kOk            ? block::kOk
                  : answer == BlockAnswer::kUnsupported ? block::kUnsupported
                                                        : block::kIoError;
    if (answer != BlockAnswer::kOk) return;
    const auto at = model_.begin() + static_cast<std::ptrdiff_t>(
                                         sent.sector * block::kSectorSize);
    if (sent.type == block::kIn) {
      sent.read.assign(at, at + static_cast<std::ptrdiff_t>(sent.size));
    } else if (sent.type == block::kOut) {
      std::ranges::copy(sent.data, at);
    } else if (sent.type != block::kFlushRequest) {
      std::fill_n(at, sent.size, std::byte{0});
    }
  }

  void FinishAt(size_t index, BlockAnswer answer) {
    Done(index, answer);
    disk_.Finish(index, answer);
  }

  void Finish(const Step& step) {
    const size_t held = disk_.held();
    if (held == 0) return;
    const BlockAnswer answer = step.b % 8 == 0   ? BlockAnswer::kIoError
                               : step.b % 8 == 1 ? BlockAnswer::kUnsupported
                                                 : BlockAnswer::kOk;
    if (hostile_) {
      disk_.Finish(step.a % held, answer);
      return;
    }
    FinishAt(step.a % held, answer);
    Collect();
  }

  void Reset() {
    link_->Reset();
    FUZZ_CHECK(disk_.held() == 0);
    // What it had was done by Drain, in order.
    if (!hostile_) {
      while (!pending_.empty()) Done(0, BlockAnswer::kOk);
    } else {
      model_ = disk_.bytes();
    }
    sent_.clear();
    pending_.clear();
    link_->FreeAll();
    FUZZ_CHECK(link_->Activate());
  }

  void Configure(const Step& step) {
    const uint32_t offset = step.a % (block::kConfigSize + 1);
    std::vector<std::byte> data(
        std::min<uint32_t>(step.b % 16, block::kConfigSize - offset),
        static_cast<std::byte>(step.layout % 2));
    device_->WriteConfig(offset, data);
    device_->ReadConfig(offset, data);
    uint64_t capacity = 0;
    device_->ReadConfig(0, std::as_writable_bytes(std::span(&capacity, 1)));
    FUZZ_CHECK(capacity == kSectors);
  }

  // What no driver does.
  void Poke(const Step& step) {
    if (!link_->active() || link_->failed()) return;
    VirtqueueDriver& driver = link_->driver(0);
    // Any place of ring and tables, buffers, what cannot be written, nothing.
    const GpaRange area = driver.area();
    const Gpa targets[] = {
        area.start + step.value % area.size,
        VirtioTestLink::kMemoryStart + (step.value & 0xfffff),
        kReadOnly + step.value % (kReadOnlySize + 100),
        Gpa(uint64_t{step.value} << 32)};
    const Gpa target = targets[step.layout % 4];
    const uint32_t size = step.b < 0x80 ? step.b * 8u : step.value;
    const auto index = static_cast<uint16_t>(step.a);
    const auto flags = static_cast<uint16_t>(step.layout / 4 % 8);
    switch (step.action % 16) {
      case 5:
        if (link_->queue(0)->config().packed) {
          driver.WriteDescriptor(
              driver.DescriptorAt(index % kQueueSize),
              virtio::PackedDescriptor{.address = target.value(),
                                       .size = size,
                                       .id = index,
                                       .flags = static_cast<uint16_t>(
                                           driver.AvailableFlags() | flags)});
        } else {
          driver.WriteDescriptor(
              driver.DescriptorAt(index % kQueueSize),
              virtio::SplitDescriptor{.address = target.value(),
                                      .size = size,
                                      .flags = flags,
                                      .next = step.b});
          driver.AddHead(index);
        }
        break;
      case 6:
        (void)link_->memory().Store<uint8_t>(
            area.start + step.value % area.size, step.a);
        break;
      case 7:
        (void)link_->memory().Store<uint64_t>(
            (area.start + step.value % area.size).AlignDown(8),
            target.value() << 16 | size);
        break;
    }
    (void)driver.Publish();
    link_->Notify(0);
  }

  void Collect() {
    if (hostile_ || link_->failed()) return;
    while (const auto used = link_->driver(0).Collect()) {
      const auto found = sent_.find(used->id);
      FUZZ_CHECK(found != sent_.end());
      const Expected& sent = found->second;
      FUZZ_CHECK(sent.status.has_value());
      const std::vector<std::byte> in = link_->Bytes(sent.in, sent.in_size);
      FUZZ_CHECK(static_cast<uint8_t>(in.back()) == *sent.status);
      FUZZ_CHECK(sent.read.size() < in.size());
      FUZZ_CHECK(std::equal(sent.read.begin(), sent.read.end(), in.begin()));
      const size_t before_status = in.size() - 1;
      FUZZ_CHECK(
          used->written ==
          (sent.read.size() == before_status ? in.size() : sent.read.size()));
      // And nothing else was written.
      FUZZ_CHECK(std::all_of(
          in.begin() + static_cast<std::ptrdiff_t>(sent.read.size()),
          in.end() - 1,
          [](std::byte byte) { return byte == std::byte{0xcc}; }));
      sent_.erase(found);
    }
  }

  void Check() {
    FUZZ_CHECK(disk_.held() <= kQueueSize);
    FUZZ_CHECK(disk_.unstarted() == 0 || link_->failed());
    if (!hostile_) {
      FUZZ_CHECK(disk_.held() == pending_.size());
      // Each byte compared by itself takes most of a session's time.
      FUZZ_CHECK(std::memcmp(disk_.bytes().data(), model_.data(), kCapacity) ==
                 0);
      FUZZ_CHECK(sent_.size() == pending_.size());
    }
  }

  HeldDisk disk_;
  std::unique_ptr<VirtioBlock> device_;
  std::unique_ptr<VirtioTestLink> link_;
  std::span<std::byte> read_only_;
  uint64_t features_ = 0;
  bool hostile_ = false;
  bool immediate_ = true;

  // The model: the disk, what the driver waits for by its id, and those of them
  // that the disk holds, the oldest first.
  std::vector<std::byte> model_;
  std::map<uint16_t, Expected> sent_;
  std::vector<uint16_t> pending_;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  libvmm::Session session(data[0], data[1]);
  for (size_t i = 2; i + 8 <= size && i < 1024; i += 8) {
    session.Run({.action = data[i],
                 .a = data[i + 1],
                 .b = data[i + 2],
                 .layout = data[i + 3],
                 .value = data[i + 4] | data[i + 5] << 8 | data[i + 6] << 16 |
                          static_cast<uint32_t>(data[i + 7]) << 24});
  }
  session.End();
  return 0;
}
