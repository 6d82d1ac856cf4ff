// SPDX-License-Identifier: Apache-2.0
// A VirtioBalloon served, driven, overwritten and asked on threads of their own,
// with pages that really go and rings among them.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "libvmm/devices/virtio/balloon/balloon_registers.h"
#include "libvmm/devices/virtio/balloon/virtio_balloon.h"
#include "libvmm/testing/virtio_race.h"

namespace libvmm {
namespace {

using namespace virtio::balloon;  // NOLINT: the specification's names.
using ::libvmm::testing::RunVirtioRace;
using ::libvmm::testing::VirtioRaceResult;

class VirtioBalloonRaceTest : public ::testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(Rings, VirtioBalloonRaceTest, ::testing::Bool(),
                         [](const auto& ring) {
                           return ring.param ? "Packed" : "Split";
                         });

TEST_P(VirtioBalloonRaceTest, QueueDriverMutatorAndEmbedderAtOnce) {
  VirtioBalloon* balloon = nullptr;
  std::atomic<uint64_t> statistics = 0;
  const auto device = *VirtioBalloon::Create(
      {.statistics_interval = absl::Milliseconds(100),
       .on_statistics =
           [&](const BalloonStatistics&) {
             if (++statistics % 4 == 0) balloon->RequestStatistics();
           },
       .actual_changed =
           [&](uint32_t pages) { balloon->SetTargetPages(pages); }});
  balloon = device.get();
  const VirtioRaceResult result = RunVirtioRace(
      *device,
      {.features = device->traits().features,
       .packed = GetParam(),
       .compose =
           [](uint16_t queue, std::mt19937_64& random) {
             std::vector<std::byte> bytes;
             const size_t size = queue == kStatisticsQueueNumber ? 60 : 64;
             while (bytes.size() < size) {
               // Pages within memory, for the most part.
               const uint64_t value =
                   random() % 8 == 0 ? random() : random() % 0x810;
               for (int i = 0; i < 4; ++i) {
                 bytes.push_back(static_cast<std::byte>(value >> 8 * i));
               }
             }
             return bytes;
           },
       .room = 4096,
       .embed =
           [&](std::mt19937_64& random) {
             switch (random() % 4) {
               case 0:
                 device->SetTargetPages(static_cast<uint32_t>(random()));
                 break;
               case 1:
                 device->RequestStatistics();
                 break;
               case 2:
                 device->SetStatisticsInterval(
                     absl::Milliseconds(random() % 300));
                 break;
               case 3:
                 (void)device->totals();
                 (void)device->actual_pages();
                 break;
             }
           }});
  EXPECT_GT(result.collected, 0u);
  EXPECT_GT(result.embedded, 0u);
  EXPECT_GT(statistics, 0u);
  EXPECT_GT(device->totals().released, 0u);
}

}  // namespace
}  // namespace libvmm
