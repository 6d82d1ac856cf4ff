// SPDX-License-Identifier: Apache-2.0
// A VirtioInput served, driven, overwritten and used on threads of their own.
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/devices/virtio/input/input_codes.h"
#include "libvmm/devices/virtio/input/input_profile.h"
#include "libvmm/devices/virtio/input/input_registers.h"
#include "libvmm/devices/virtio/input/virtio_input.h"
#include "libvmm/testing/virtio_race.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RunVirtioRace;
using ::libvmm::testing::VirtioRaceResult;
using Event = VirtioInput::Event;

class VirtioInputRaceTest : public ::testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(Rings, VirtioInputRaceTest, ::testing::Bool(),
                         [](const auto& ring) {
                           return ring.param ? "Packed" : "Split";
                         });

TEST_P(VirtioInputRaceTest, QueueDriverMutatorAndEmbedderAtOnce) {
  std::atomic<uint64_t> taken = 0;
  std::atomic<uint64_t> status = 0;
  VirtioInput* input = nullptr;
  const Event press{input_code::kKey, 30, input_code::kPressed};
  const auto device = *VirtioInput::Create(
      {.profile = InputProfile::Keyboard(),
       .capacity = 16,
       .room = [&] { (void)input->Send(std::array{press}); },
       .status = [&](const Event&) { ++status; }});
  input = device.get();
  const VirtioRaceResult result = RunVirtioRace(
      *device,
      {.packed = GetParam(),
       .compose =
           [](uint16_t queue, std::mt19937_64&) {
             return std::vector<std::byte>(
                 queue == virtio::input::kStatusQueue ? sizeof(Event) : 0);
           },
       .embed =
           [&](std::mt19937_64& random) {
             const std::vector<Event> frame(random() % 5 + 1, press);
             if (device->Send(frame) == VirtioInput::SendResult::kTaken) {
               ++taken;
             }
           }});
  EXPECT_GT(result.collected, 0u);
  EXPECT_GT(taken, 0u);
  EXPECT_GT(status, 0u);
}

}  // namespace
}  // namespace libvmm
