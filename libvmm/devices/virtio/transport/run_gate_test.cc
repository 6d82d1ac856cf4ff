// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/transport/run_gate.h"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/testing/repetitions.h"

namespace libvmm {
namespace {

using ::libvmm::testing::Repetitions;

TEST(RunGateTest, IsClosedAtFirst) {
  RunGate gate;
  EXPECT_FALSE(gate.Enter());
}

TEST(RunGateTest, LetsOneInAtATime) {
  RunGate gate;
  gate.Open();
  EXPECT_TRUE(gate.Enter());
  EXPECT_FALSE(gate.Enter());
  EXPECT_FALSE(gate.Leave());  // For the one who came meanwhile.
  EXPECT_TRUE(gate.Leave());
  EXPECT_TRUE(gate.Enter());
  EXPECT_TRUE(gate.Leave());
}

TEST(RunGateTest, ManyNotesAreOneRound) {
  RunGate gate;
  gate.Open();
  EXPECT_TRUE(gate.Enter());
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(gate.Enter());
  EXPECT_FALSE(gate.Leave());
  EXPECT_TRUE(gate.Leave());
}

TEST(RunGateTest, ANoteDuringAnExtraRoundAsksForAnother) {
  RunGate gate;
  gate.Open();
  EXPECT_TRUE(gate.Enter());
  for (int round = 0; round < 5; ++round) {
    EXPECT_FALSE(gate.Enter());
    EXPECT_FALSE(gate.Leave());
  }
  EXPECT_TRUE(gate.Leave());
}

TEST(RunGateTest, YieldGoesAndTellsOfANote) {
  RunGate gate;
  gate.Open();
  EXPECT_TRUE(gate.Enter());
  EXPECT_FALSE(gate.Yield());
  EXPECT_TRUE(gate.Enter());
  EXPECT_FALSE(gate.Enter());
  EXPECT_TRUE(gate.Yield());
  // The note went with it.
  EXPECT_TRUE(gate.Enter());
  EXPECT_TRUE(gate.Leave());
}

TEST(RunGateTest, AClosedGateLetsNobodyInAndForgetsNotes) {
  RunGate gate;
  gate.Open();
  EXPECT_TRUE(gate.Enter());
  EXPECT_FALSE(gate.Enter());
  std::thread closer([&] { gate.Close(); });
  // Whoever closes waits for this thread, which is inside until it says so.
  while (!gate.Leave()) {
  }
  closer.join();
  EXPECT_FALSE(gate.Enter());
  gate.Open();
  EXPECT_TRUE(gate.Enter());
  EXPECT_TRUE(gate.Leave());
}

TEST(RunGateTest, AClosingGateLetsOutWhateverWasAsked) {
  RunGate gate;
  gate.Open();
  EXPECT_TRUE(gate.Enter());
  std::thread closer([&] { gate.Close(); });
  // Until it is closed, each note is a round.
  while (true) {
    (void)gate.Enter();
    if (gate.Leave()) break;
  }
  closer.join();

  gate.Open();
  EXPECT_TRUE(gate.Enter());
  std::thread yielded_to([&] { gate.Close(); });
  EXPECT_FALSE(gate.Yield());
  yielded_to.join();
}

TEST(RunGateTest, CloseOfAnEmptyGateReturns) {
  RunGate gate;
  gate.Close();
  gate.Open();
  gate.Close();
  EXPECT_FALSE(gate.Enter());
}

// Threads hand in numbers without any other synchronization than the gate's;
// each one is worked on exactly once and nothing stays behind.
TEST(RunGateTest, NothingThatWasAskedForIsForgotten) {
  constexpr int kThreads = 4;
  const int kSteps = Repetitions(5000);
  RunGate gate;
  gate.Open();
  std::atomic<int> asked = 0;
  int done = 0;    // Guarded by the gate alone.
  int inside = 0;  // So is this.
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kSteps; ++i) {
        asked.fetch_add(1, std::memory_order_relaxed);
        if (!gate.Enter()) continue;
        do {
          EXPECT_EQ(++inside, 1);
          done = asked.load(std::memory_order_relaxed);
          --inside;
        } while (!gate.Leave());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, kThreads * kSteps);
}

// What a thread wrote before its note is seen by the round that answers it: a
// plain variable, handed over by the gate alone.
TEST(RunGateTest, TheRoundThatAnswersANoteSeesWhatWasBeforeIt) {
  const int kSteps = Repetitions(5000);
  RunGate gate;
  gate.Open();
  int mailbox = 0;
  int seen = 0;
  std::atomic<int> answered = 0;
  std::atomic<bool> stop = false;
  const auto take = [&] {
    seen += mailbox;
    mailbox = 0;
  };
  std::thread busy([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      if (!gate.Enter()) continue;
      // Further rounds are the other thread's.
      while (!gate.Leave()) {
        take();
        answered.fetch_add(1, std::memory_order_release);
      }
    }
  });
  int left_to_busy = 0;
  for (int i = 0; i < kSteps; ++i) {
    mailbox = 1;
    if (gate.Enter()) {
      do {
        take();
      } while (!gate.Leave());
    } else {
      ++left_to_busy;
      while (answered.load(std::memory_order_acquire) != left_to_busy) {
        std::this_thread::yield();
      }
    }
  }
  stop.store(true, std::memory_order_relaxed);
  busy.join();
  EXPECT_EQ(seen, kSteps);
}

// Close and Open while threads come and go: behind Close nobody is inside.
TEST(RunGateTest, NobodyIsInsideWhenCloseHasReturned) {
  constexpr int kThreads = 3;
  const int kRounds = Repetitions(500);
  RunGate gate;
  std::atomic<bool> stop = false;
  int64_t work = 0;  // The closing thread's between Close and Open.
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      while (!stop.load(std::memory_order_relaxed)) {
        if (!gate.Enter()) {
          std::this_thread::yield();
          continue;
        }
        do {
          ++work;
        } while (t != 0 && !gate.Leave());
        // One of the threads only yields.
        if (t == 0) (void)gate.Yield();
      }
    });
  }
  for (int i = 0; i < kRounds; ++i) {
    gate.Open();
    std::this_thread::yield();
    gate.Close();
    const int64_t before = work;
    std::this_thread::yield();
    EXPECT_EQ(work, before);
    ++work;
  }
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(gate.Enter());
}

}  // namespace
}  // namespace libvmm
