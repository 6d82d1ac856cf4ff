// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/virtio_fuzz_session.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "absl/time/time.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm::testing {
namespace {

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

constexpr uint64_t kPoolSize = uint64_t{1} << 20;
constexpr uint16_t kQueueSize = 16;
// Sizes of buffers: those around what requests have, and large ones.
constexpr std::array<uint32_t, 16> kSizes = {
    0, 1, 2, 4, 7, 8, 9, 16, 64, 128, 512, 4095, 4096, 65536, 100000, 262144};
constexpr std::array<int, 4> kMilliseconds = {1, 50, 1000, 100000};

}  // namespace

VirtioTestLink::Options VirtioFuzzSession::LinkOptions(const Kind& kind,
                                                       FuzzBytes& input) {
  const uint8_t choice = input.Byte();
  const uint64_t features = input.Byte();
  VirtioTestLink::Options options;
  // All of them, or some.
  options.features =
      (choice & 0x80) != 0 ? kind.features : kind.features & features;
  options.packed = (choice & 1) != 0;
  options.indirect = (choice & 2) == 0;
  options.event_index = (choice & 4) != 0;
  options.in_order = (choice & 8) != 0;
  options.queue_size = kQueueSize;
  return options;
}

VirtioFuzzSession::VirtioFuzzSession(VirtioDevice& device, Kind kind,
                                     FuzzBytes& input)
    : device_(device),
      kind_(std::move(kind)),
      input_(input),
      link_(device, LinkOptions(kind_, input)),
      pool_(link_.Allocate(kPoolSize)) {
  Activate();
}

GpaRange VirtioFuzzSession::pool() const { return {pool_, kPoolSize}; }

void VirtioFuzzSession::Activate() {
  clean_ = true;
  in_flight_.clear();
  FUZZ_CHECK(link_.Activate());
}

void VirtioFuzzSession::Run() {
  for (int i = 0; i < kMaxSteps && !input_.empty(); ++i) {
    Step();
    if (kind_.check != nullptr) kind_.check();
  }
  link_.Reset();
  if (kind_.on_reset != nullptr) kind_.on_reset();
  if (kind_.check != nullptr) kind_.check();
}

void VirtioFuzzSession::Step() {
  const uint8_t action = input_.Byte();
  const auto queue =
      static_cast<uint16_t>(action / 16 % device_.traits().queues.size());
  switch (action % 16) {
    case 0:
    case 1:
    case 2:
      Add(queue);
      link_.Kick(queue);
      break;
    case 3:
      Add(queue);
      break;
    case 4:
      link_.Kick(queue);
      break;
    case 5:
      link_.Notify(queue);
      break;
    case 6:
    case 7:
      Collect(queue);
      break;
    case 8:
    case 9:
    case 10:
      if (kind_.embed != nullptr) kind_.embed(input_);
      break;
    case 11:
      WriteRubbish(queue);
      break;
    case 12:
      link_.Advance(absl::Milliseconds(
          kMilliseconds[action / 16 % kMilliseconds.size()]));
      break;
    case 13:
      ReadConfig();
      break;
    case 14: {
      const uint32_t size = device_.traits().config_size;
      if (size == 0) break;
      const uint32_t offset = input_.Byte() % size;
      const auto bytes = input_.Take(action / 16);
      device_.WriteConfig(offset, std::as_bytes(bytes.first(std::min<size_t>(
                                      bytes.size(), size - offset))));
      break;
    }
    case 15:
      if (action / 16 % 4 == 0) {
        link_.Reset();
        if (kind_.on_reset != nullptr) kind_.on_reset();
        Activate();
      }
      break;
  }
}

Gpa VirtioFuzzSession::Place(uint32_t size) {
  return pool_ + input_.Word() * uint64_t{16} % (kPoolSize - size);
}

void VirtioFuzzSession::Add(uint16_t queue) {
  const uint8_t shape = input_.Byte();
  std::vector<VirtqueueDriver::Buffer> buffers;
  const auto add = [&](uint32_t size, bool writable) {
    if (size == 0) return Gpa();
    buffers.push_back({.gpa = Place(size), .size = size, .writable = writable});
    return buffers.back().gpa;
  };
  // What it writes, in up to 4 pieces.
  if ((shape & 0x80) == 0 && kind_.compose != nullptr) {
    const std::vector<std::byte> bytes = kind_.compose(queue, input_);
    std::span<const std::byte> rest(bytes);
    rest = rest.first(std::min<size_t>(rest.size(), kPoolSize / 2));
    const size_t pieces = shape / 16 % 4 + 1u;
    while (!rest.empty()) {
      const auto piece = rest.first(
          std::min(rest.size(), (bytes.size() + pieces - 1) / pieces));
      const Gpa gpa = add(static_cast<uint32_t>(piece.size()), false);
      FUZZ_CHECK(link_.memory().Write(gpa, piece));
      rest = rest.subspan(piece.size());
    }
  } else if ((shape & 0x40) != 0) {
    add(kSizes[input_.Byte() % kSizes.size()], false);
  }
  // And what there is room for.
  uint64_t room = 0;
  for (int i = 0; i < shape % 4; ++i) {
    const uint32_t size = kSizes[input_.Byte() % kSizes.size()];
    add(size, true);
    room += size;
  }
  if (buffers.empty()) return;
  const bool indirect =
      (shape & 8) != 0 && link_.queue(queue)->config().indirect;
  const std::optional<uint16_t> id = link_.driver(queue).Add(
      buffers, indirect ? VirtqueueDriver::Layout::kIndirect
                        : VirtqueueDriver::Layout::kDirect);
  if (id.has_value()) in_flight_[{queue, *id}] = room;
}

void VirtioFuzzSession::Collect(uint16_t queue) {
  // A ring with rubbish may seem to have more without end.
  for (int i = 0; i < 2 * kQueueSize; ++i) {
    const std::optional<VirtqueueDriver::Used> used =
        link_.driver(queue).Collect();
    if (!used.has_value()) return;
    const auto chain = in_flight_.find({queue, used->id});
    if (!clean_) {
      if (chain != in_flight_.end()) in_flight_.erase(chain);
      continue;
    }
    FUZZ_CHECK(chain != in_flight_.end());
    FUZZ_CHECK(used->written <= chain->second);
    in_flight_.erase(chain);
    if (kind_.on_used != nullptr) kind_.on_used(queue, used->written);
  }
}

void VirtioFuzzSession::WriteRubbish(uint16_t queue) {
  clean_ = false;
  const GpaRange area = link_.driver(queue).area();
  const uint16_t value = input_.Word();
  const Gpa gpa = area.start + input_.Word() % (area.size / 2) * 2;
  FUZZ_CHECK(link_.memory().Store<uint16_t>(gpa, value));
}

void VirtioFuzzSession::ReadConfig() {
  const uint32_t size = device_.traits().config_size;
  if (size == 0) return;
  const uint32_t offset = input_.Byte() % size;
  const uint32_t count =
      std::min<uint32_t>(size - offset, input_.Byte() % 16 + 1u);
  std::array<std::byte, 16> first;
  std::array<std::byte, 16> second;
  first.fill(std::byte{0x00});
  second.fill(std::byte{0xff});
  device_.ReadConfig(offset, std::span(first).first(count));
  device_.ReadConfig(offset, std::span(second).first(count));
  FUZZ_CHECK(std::equal(first.begin(), first.begin() + count, second.begin()));
}

}  // namespace libvmm::testing
