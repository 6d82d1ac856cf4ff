// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/asymmetric_fence.h"

#include <atomic>
#include <thread>

#include "gtest/gtest.h"

namespace libvmm {
namespace {

// The store-load litmus test: each side stores its flag and loads the other's.
// Without a full fence on both sides, both loads can miss.
TEST(AsymmetricFenceTest, AtLeastOneSideSeesTheOther) {
  constexpr int kRounds = 20'000;
  const AsymmetricFence fence;
  std::atomic<int> frequent = 0;
  std::atomic<int> rare = 0;
  std::atomic<int> round = 0;
  std::atomic<int> done = 0;
  std::atomic<int> seen_by_rare = 0;
  std::thread rare_side([&] {
    for (int i = 1; i <= kRounds; ++i) {
      while (round.load() < i) std::this_thread::yield();
      rare.store(i, std::memory_order_relaxed);
      fence.Heavy();
      seen_by_rare.store(frequent.load(std::memory_order_relaxed));
      done.store(i);
    }
  });
  int missed = 0;
  for (int i = 1; i <= kRounds; ++i) {
    round.store(i);
    frequent.store(i, std::memory_order_relaxed);
    fence.Light();
    const int seen = rare.load(std::memory_order_relaxed);
    while (done.load() < i) std::this_thread::yield();
    if (seen != i && seen_by_rare.load() != i) ++missed;
  }
  rare_side.join();
  EXPECT_EQ(missed, 0);
}

}  // namespace
}  // namespace libvmm
