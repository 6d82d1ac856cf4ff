// SPDX-License-Identifier: Apache-2.0
// A VirtioConsole of three ports served, driven, overwritten and used on threads
// of their own.
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/devices/virtio/console/console_registers.h"
#include "libvmm/devices/virtio/console/console_size.h"
#include "libvmm/devices/virtio/console/virtio_console.h"
#include "libvmm/testing/virtio_race.h"

namespace libvmm {
namespace {

using namespace virtio::console;  // NOLINT: the specification's names.
using ::libvmm::testing::RunVirtioRace;
using ::libvmm::testing::VirtioRaceResult;

constexpr uint16_t kPorts = 3;

class VirtioConsoleRaceTest : public ::testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(Rings, VirtioConsoleRaceTest, ::testing::Bool(),
                         [](const auto& ring) {
                           return ring.param ? "Packed" : "Split";
                         });

TEST_P(VirtioConsoleRaceTest, QueueDriverMutatorAndEmbedderAtOnce) {
  std::atomic<uint64_t> output = 0;
  VirtioConsole* console = nullptr;
  VirtioConsole::Options options;
  options.ports.resize(kPorts);
  for (uint16_t port = 0; port < kPorts; ++port) {
    VirtioConsole::Port& one = options.ports[port];
    one.name = "port";
    one.console = port == 0;
    one.size = ConsoleSize{80, 25};
    one.input_capacity = 100;
    // Takes all, or half and waits for Resume.
    one.sink = [&output](std::span<const std::byte> bytes) {
      const uint64_t before = output.fetch_add(bytes.size());
      return before % 3 == 0 ? bytes.size() / 2 : bytes.size();
    };
    one.room = [&console, port] {
      (void)console->Send(port, std::array<std::byte, 4>{});
    };
    one.guest_open = [&console, port](bool) {
      (void)console->Send(port, std::array<std::byte, 1>{});
    };
  }
  options.emergency_write = [&](std::byte) { ++output; };
  const auto device = *VirtioConsole::Create(std::move(options));
  console = device.get();
  const VirtioRaceResult result = RunVirtioRace(
      *device,
      {.features = device->traits().features,
       .packed = GetParam(),
       .compose =
           [](uint16_t queue, std::mt19937_64& random) {
             std::vector<std::byte> bytes;
             if (queue == kControlTransmitQueue) {
               const ControlMessage message{
                   .port = static_cast<uint32_t>(random() % (kPorts + 1)),
                   .event = static_cast<Event>(random() % 8),
                   .value = static_cast<uint16_t>(random() % 8 != 0 ? 1 : 0)};
               bytes.resize(sizeof(message));
               std::memcpy(bytes.data(), &message, sizeof(message));
             } else if (queue != kControlReceiveQueue) {
               bytes.resize(random() % 200);
             }
             return bytes;
           },
       .room = 80,
       .embed =
           [&](std::mt19937_64& random) {
             const auto port = static_cast<uint16_t>(random() % kPorts);
             switch (random() % 8) {
               case 0:
                 device->AddPort(port);
                 break;
               case 1:
                 device->RemovePort(port);
                 break;
               case 2:
                 device->SetOpen(port, random() % 2 == 0);
                 break;
               case 3:
                 device->Resize(port, {1, 2});
                 break;
               case 4:
               case 5:
                 device->Resume(port);
                 break;
               default:
                 (void)device->Send(port, std::array<std::byte, 30>{});
                 (void)device->guest_open(port);
                 break;
             }
           }});
  EXPECT_GT(result.collected, 0u);
  EXPECT_GT(result.embedded, 0u);
  EXPECT_GT(output, 0u);
}

}  // namespace
}  // namespace libvmm
