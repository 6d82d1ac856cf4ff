// SPDX-License-Identifier: Apache-2.0
// A VirtioBalloon with a hostile driver. Beside what VirtioFuzzSession looks at:
// what is released is not empty and does not wrap, and is counted; pages that
// are to keep a poison are not released by reporting; the configuration shows
// the target; nothing is written to the guest.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/balloon/balloon_registers.h"
#include "libvmm/devices/virtio/balloon/virtio_balloon.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/page_releaser.h"
#include "libvmm/testing/fuzz_bytes.h"
#include "libvmm/testing/virtio_fuzz_session.h"

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

namespace libvmm {
namespace {

using namespace virtio::balloon;  // NOLINT: the specification's names.

// Takes what is not rings: a driver that gives those up reads zeroes there.
class Counter final : public PageReleaser {
 public:
  uint64_t Release(GuestMemory& memory, GpaRange range) override {
    FUZZ_CHECK(range.size != 0);
    FUZZ_CHECK(GpaRange::Create(range.start, range.size).has_value());
    FUZZ_CHECK(range.start.value() < kPageSize << 32);
    total += range.size;
    if (!buffers.Contains(range.start, range.size)) return 0;
    const uint64_t released = host_.Release(memory, range);
    FUZZ_CHECK(released <= range.size);
    return released;
  }

  GpaRange buffers;
  uint64_t total = 0;

 private:
  HostPageReleaser host_;
};

std::vector<std::byte> Compose(uint16_t queue, testing::FuzzBytes& input) {
  std::vector<std::byte> bytes;
  const auto put = [&bytes](uint64_t value, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      bytes.push_back(static_cast<std::byte>(value >> 8 * i));
    }
  };
  if (queue == kStatisticsQueueNumber) {
    for (int count = input.Byte() % 16; count > 0; --count) {
      put(input.Byte() % 16, kStatisticTagSize);
      put(input.Dword(), sizeof(uint64_t));
    }
    return bytes;
  }
  // Pages of memory in runs, or any.
  for (int count = input.Byte() % 8; count > 0; --count) {
    const uint8_t run = input.Byte();
    uint32_t page = run % 4 == 0 ? input.Dword() : input.Word() % 0x900;
    for (int i = 0; i < run / 4; ++i) put(page++, sizeof(page));
  }
  return bytes;
}

void Fuzz(testing::FuzzBytes& input) {
  Counter releaser;
  uint64_t statistics = 0;
  uint32_t target = 0;
  const auto device = *VirtioBalloon::Create(
      {.releaser = &releaser,
       .statistics_interval =
           input.Byte() % 2 != 0 ? absl::Seconds(1) : absl::InfiniteDuration(),
       .on_statistics = [&](const BalloonStatistics&) { ++statistics; }});
  testing::VirtioFuzzSession session(
      *device,
      {.features = device->traits().features,
       .compose = Compose,
       .embed =
           [&](testing::FuzzBytes& bytes) {
             switch (bytes.Byte() % 3) {
               case 0:
                 target = bytes.Dword();
                 device->SetTargetPages(target);
                 break;
               case 1:
                 device->RequestStatistics();
                 break;
               case 2:
                 device->SetStatisticsInterval(
                     absl::Milliseconds(bytes.Byte() * 10));
                 break;
             }
           },
       .on_used = [](uint16_t, uint32_t written) { FUZZ_CHECK(written == 0); },
       .on_reset = [&] { FUZZ_CHECK(device->actual_pages() == 0); },
       .check =
           [&] {
             const VirtioBalloon::Totals totals = device->totals();
             // What keeps a poison was not offered.
             FUZZ_CHECK(totals.released + totals.kept >= releaser.total);
             FUZZ_CHECK(totals.released <= releaser.total);
             std::array<uint32_t, 4> config{};
             device->ReadConfig(0, std::as_writable_bytes(std::span(config)));
             FUZZ_CHECK(config[0] == target);
             FUZZ_CHECK(config[1] == device->actual_pages());
             FUZZ_CHECK(config[2] == 0);
           }},
      input);
  releaser.buffers = session.pool();
  session.Run();
}

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  libvmm::testing::FuzzBytes input({data, size});
  libvmm::Fuzz(input);
  return 0;
}
