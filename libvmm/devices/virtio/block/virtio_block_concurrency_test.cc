// SPDX-License-Identifier: Apache-2.0
// The queue, the driver, the back-end's completions, the configuration space
// and a hostile writer of the ring, each on a thread of its own. Run under
// ThreadSanitizer, it also shows that nothing is shared but by design.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/block/block_protocol.h"
#include "libvmm/devices/virtio/block/uring_disk.h"
#include "libvmm/devices/virtio/block/virtio_block.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/testing/empty_file.h"
#include "libvmm/testing/held_disk.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_test_link.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

namespace block = virtio::block;

using ::libvmm::testing::HeldDisk;
using ::libvmm::testing::Repetitions;
using ::libvmm::testing::VirtioTestLink;
using ::libvmm::testing::VirtqueueDriver;

constexpr uint64_t kSectors = 64;
constexpr size_t kCapacity = kSectors * block::kSectorSize;

Gpa PutHeader(VirtioTestLink& link, uint32_t type, uint64_t sector) {
  const block::RequestHeader header{.type = type, .sector = sector};
  return link.Put(std::as_bytes(std::span(&header, 1)));
}

// Runs each on a thread; the others end when the first has.
void RunUntilTheFirstEnds(std::function<void()> first,
                          std::vector<std::function<void()>> others) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (const std::function<void()>& other : others) {
    threads.emplace_back([&stop, &other] {
      while (!stop.load(std::memory_order_relaxed)) {
        other();
        std::this_thread::yield();
      }
    });
  }
  first();
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

class VirtioBlockConcurrencyTest : public ::testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(Layouts, VirtioBlockConcurrencyTest, ::testing::Bool(),
                         [](const ::testing::TestParamInfo<bool>& packed) {
                           return packed.param ? "Packed" : "Split";
                         });

TEST_P(VirtioBlockConcurrencyTest, AHostileDriverOnAllThreadsHarmsNothing) {
  HeldDisk disk({.discard = true, .write_zeroes = true}, kCapacity);
  const auto device = *VirtioBlock::Create(disk, {.queue_size = 16});
  VirtioTestLink link(*device, {.features = device->traits().features,
                                .packed = GetParam(),
                                .event_index = true,
                                .queue_size = 16});
  std::mt19937_64 driver_random(1);
  std::mt19937_64 mutator_random(2);
  std::mt19937_64 disk_random(3);
  for (int round = 0; round < Repetitions(60); ++round) {
    link.FreeAll();
    ASSERT_TRUE(link.Activate());
    const std::array<Gpa, 3> headers{PutHeader(link, block::kIn, 1),
                                     PutHeader(link, block::kOut, 2),
                                     PutHeader(link, block::kFlushRequest, 0)};
    const Gpa data = link.Allocate(4096);
    GuestMemory& memory = link.memory();
    const GpaRange area = link.driver(0).area();
    // One of the last rounds is without the mutator: then all must be well.
    const bool hostile = round % 4 != 3;
    RunUntilTheFirstEnds(
        [&] {
          VirtqueueDriver& driver = link.driver(0);
          for (int i = 0; i < 200; ++i) {
            const size_t kind = driver_random() % headers.size();
            const bool is_read = kind == 0;
            (void)driver.Add(
                {{.gpa = headers[kind], .size = 16},
                 {.gpa = data, .size = 512, .writable = is_read},
                 {.gpa = data + 512, .size = 1, .writable = true}});
            (void)driver.Publish();
            for (int k = 0; k < 32 && driver.Collect().has_value(); ++k) {
            }
            if (i % 8 == 0) std::this_thread::yield();
          }
        },
        {
            [&] { link.Notify(0); },
            [&] {
              disk.FinishAll(disk_random() % 4 == 0 ? BlockAnswer::kIoError
                                                    : BlockAnswer::kOk);
            },
            [&] {
              if (!hostile) return;
              const uint64_t place = mutator_random() % area.size;
              (void)memory.Store<uint16_t>(
                  (area.start + place).AlignDown(2),
                  static_cast<uint16_t>(mutator_random()));
            },
            [&] {
              block::Config config;
              device->ReadConfig(0,
                                 std::as_writable_bytes(std::span(&config, 1))
                                     .first(block::kConfigSize));
              const std::array<std::byte, 1> mode{std::byte{1}};
              device->WriteConfig(offsetof(block::Config, writeback), mode);
              device->Resized();
              (void)device->SetLimits({});
            },
        });
    EXPECT_LE(disk.held(), 16u);
    EXPECT_TRUE(hostile || !link.failed());
    link.Reset();
    EXPECT_EQ(disk.held(), 0u);
  }
}

TEST_P(VirtioBlockConcurrencyTest, EveryRequestOfAGoodDriverIsAnsweredOnce) {
  auto made = UringDisk::Create(testing::EmptyFile(kCapacity), {.entries = 4});
  if (!made.ok()) GTEST_SKIP() << made.status();
  UringDisk& disk = **made;
  const auto device = *VirtioBlock::Create(disk, {.queue_size = 32});
  VirtioTestLink link(*device, {.features = device->traits().features,
                                .packed = GetParam(),
                                .event_index = true,
                                .queue_size = 32});
  ASSERT_TRUE(link.Activate());
  // A sector each, with a header and a status of its own.
  struct Sector {
    Gpa read;
    Gpa write;
    Gpa data;
    Gpa status;
  };
  std::array<Sector, 8> sectors;
  for (uint64_t i = 0; i < sectors.size(); ++i) {
    sectors[i] = {PutHeader(link, block::kIn, i),
                  PutHeader(link, block::kOut, i), link.Allocate(512),
                  link.Allocate(1)};
  }
  std::array<std::byte, 512> bytes;
  uint64_t answers = 0;
  RunUntilTheFirstEnds(
      [&] {
        VirtqueueDriver& driver = link.driver(0);
        for (int round = 0; round < Repetitions(200); ++round) {
          for (const bool write : {true, false}) {
            for (const Sector& sector : sectors) {
              bytes.fill(static_cast<std::byte>(write ? round : 0xee));
              ASSERT_TRUE(link.memory().Write(sector.data, bytes));
              ASSERT_TRUE(link.memory().Store<uint8_t>(sector.status, 0xff));
              ASSERT_TRUE(
                  driver
                      .Add(
                          {{.gpa = write ? sector.write : sector.read,
                            .size = 16},
                           {.gpa = sector.data,
                            .size = 512,
                            .writable = !write},
                           {.gpa = sector.status, .size = 1, .writable = true}})
                      .has_value());
            }
            link.Kick(0);
            for (size_t done = 0; done < sectors.size();) {
              if (!driver.Collect().has_value()) {
                std::this_thread::yield();
                continue;
              }
              ++done;
              ++answers;
            }
            for (const Sector& sector : sectors) {
              ASSERT_EQ(link.Bytes(sector.status, 1)[0], std::byte{block::kOk});
              ASSERT_TRUE(link.memory().Read(sector.data, bytes));
              for (const std::byte byte : bytes) {
                ASSERT_EQ(byte, static_cast<std::byte>(round));
              }
            }
          }
        }
      },
      {
          [&] {
            pollfd poll{.fd = disk.fd(), .events = POLLIN, .revents = 0};
            if (::poll(&poll, 1, 1) == 1) disk.OnReady(poll.revents);
          },
      });
  EXPECT_EQ(answers, static_cast<uint64_t>(Repetitions(200)) * 2 * 8);
  EXPECT_EQ(link.driver(0).in_flight(), 0u);
  link.Reset();
}

}  // namespace
}  // namespace libvmm
