// SPDX-License-Identifier: Apache-2.0
// Many sandboxes, made and destroyed in any order, on several threads and in a
// child process.
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "libvmm/base/mutex.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/pool.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/sandbox.h"
#include "libvmm/testing/heap_count.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/process_resources.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::HeapUse;
using ::libvmm::testing::ProcessResources;
using ::libvmm::testing::Repetitions;
using ::libvmm::testing::StatusIs;

constexpr char kFunctions[] = "libvmm/sandbox/functions.elf";
constexpr int kSignal = SIGUSR1;
// The program's counter starts with 41.
constexpr uint64_t kFirstCount = 42;

absl::Status CountsTo(Sandbox& sandbox, uint64_t expected) {
  LIBVMM_ASSIGN_OR_RETURN(const Outcome<uint64_t> count,
                          sandbox.Call<uint64_t>("count"));
  if (count.returned() && count.value() == expected) return absl::OkStatus();
  return absl::InternalError("the count is wrong");
}

class LifetimeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK(VcpuThread::InstallKickHandler(kSignal));
    ASSERT_OK_AND_ASSIGN(Engine engine, Engine::Open());
    engine_.emplace(std::move(engine));
    ASSERT_OK_AND_ASSIGN(Program program, Program::Open(kFunctions));
    program_.emplace(std::move(program));
    ASSERT_OK_AND_ASSIGN(Sandbox sandbox,
                         Sandbox::Create(*engine_, *program_, {}, {}));
    original_ = std::make_unique<Sandbox>(std::move(sandbox));
    ASSERT_OK_AND_ASSIGN(Image image, original_->Freeze());
    image_.emplace(std::move(image));
  }

  absl::StatusOr<Sandbox> Clone() const { return Sandbox::Create(*image_, {}); }

  std::optional<Engine> engine_;
  std::optional<Program> program_;
  std::unique_ptr<Sandbox> original_;
  std::optional<Image> image_;
};

// A different way to end for each: clean, used, faulted, killed, reset.
absl::Status Live(Sandbox& sandbox, int i) {
  LIBVMM_RETURN_IF_ERROR(CountsTo(sandbox, kFirstCount));
  switch (i % 5) {
    case 0:
      return sandbox.Call<void>("touch_pages", 20).status();
    case 1:
      return sandbox.Call<void>("wild_write", 0).status();
    case 2: {
      LIBVMM_ASSIGN_OR_RETURN(const Killer killer, sandbox.killer());
      killer.Kill();
      return sandbox.Call<void>("spin").status();
    }
    case 3:
      LIBVMM_RETURN_IF_ERROR(sandbox.Reset());
      return CountsTo(sandbox, kFirstCount);
    default:
      return sandbox.ResetAndRelease();
  }
}

TEST_F(LifetimeTest, ClonesDestroyedInAnyOrderLeaveNothing) {
  const int clones = Repetitions(300);
  constexpr int kDescriptorsOfClone = 4;
  rlimit limit = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_max < static_cast<rlim_t>(kDescriptorsOfClone * clones)) {
    GTEST_SKIP() << "only " << limit.rlim_max << " descriptors are allowed";
  }
  testing::KeepHeapInBrk();
  std::mt19937 random(1);
  std::vector<int> order(clones);
  std::iota(order.begin(), order.end(), 0);
  const auto round = [&] {
    std::vector<std::optional<Sandbox>> sandboxes(clones);
    for (int i = 0; i < clones; ++i) {
      ASSERT_OK_AND_ASSIGN(sandboxes[i], Clone());
      ASSERT_OK(Live(*sandboxes[i], i));
    }
    for (const int i : order) sandboxes[i].reset();
  };
  round();
  const ProcessResources resources = ProcessResources::Now();
  const HeapUse heap = HeapUse::Now();
  const auto expect_as_before = [&](const char* what) {
    const HeapUse now = HeapUse::Now();
    EXPECT_EQ(now.bytes, heap.bytes) << what;
    EXPECT_EQ(now.blocks, heap.blocks) << what;
    EXPECT_EQ(ProcessResources::Now().Since(resources), "") << what;
  };
  std::reverse(order.begin(), order.end());
  round();
  expect_as_before("last first");
  std::shuffle(order.begin(), order.end(), random);
  round();
  expect_as_before("in random order");
}

TEST_F(LifetimeTest, ClonesOutliveWhatTheyWereMadeOf) {
  ASSERT_OK_AND_ASSIGN(Sandbox first, Clone());
  ASSERT_OK(CountsTo(*original_, kFirstCount));
  original_.reset();
  program_.reset();
  engine_.reset();
  ASSERT_OK(CountsTo(first, kFirstCount));
  ASSERT_OK_AND_ASSIGN(Sandbox second, Clone());
  image_.reset();
  ASSERT_OK(CountsTo(second, kFirstCount));
  ASSERT_OK(first.Reset());
  ASSERT_OK(first.Verify());
  ASSERT_OK(CountsTo(first, kFirstCount));
}

TEST_F(LifetimeTest, ASandboxWandersBetweenThreads) {
  constexpr int kThreads = 3;
  ASSERT_OK_AND_ASSIGN(Sandbox made, Clone());
  std::optional<Sandbox> sandbox(std::move(made));
  // Suspended on one thread, resumed on the next, destroyed on the last.
  for (int t = 0; t < kThreads; ++t) {
    std::thread([&, t] {
      ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
      sandbox->UseThread(&thread);
      if (t != 0) {
        ASSERT_OK_AND_ASSIGN(
            const Outcome<uint64_t> resumed,
            sandbox->Resume<uint64_t>({.after = absl::Minutes(10)}));
        EXPECT_EQ(resumed.end(), End::kReturned);
        EXPECT_EQ(resumed.value(), kFirstCount + t - 1);
      }
      ASSERT_OK_AND_ASSIGN(const auto count,
                           sandbox->Find<uint64_t()>("count"));
      ASSERT_OK_AND_ASSIGN(const Outcome<uint64_t> outcome,
                           sandbox->CallLimited({.exits = 0}, count));
      EXPECT_EQ(outcome.end(), End::kDeadline);
      sandbox->UseThread(nullptr);
      if (t == kThreads - 1) sandbox.reset();
    }).join();
  }
}

TEST_F(LifetimeTest, ThreadsShareAnEngineAndAnImage) {
  const int rounds = Repetitions(100);
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
      const Engine engine = *engine_;
      const Image image = *image_;
      for (int i = 0; i < rounds; ++i) {
        // A clone; each tenth time a program of its own, frozen here.
        ASSERT_OK_AND_ASSIGN(Sandbox sandbox, Sandbox::Create(image, {}));
        if (i % 10 == t) {
          ASSERT_OK_AND_ASSIGN(sandbox,
                               Sandbox::Create(engine, *program_, {}, {}));
          ASSERT_OK(sandbox.Freeze().status());
        }
        sandbox.UseThread(&thread);
        ASSERT_OK(Live(sandbox, i));
        ASSERT_OK(sandbox.Reset());
        ASSERT_OK(CountsTo(sandbox, kFirstCount));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(LifetimeTest, ClonesAreMadeWhileTheOriginalRuns) {
  const int rounds = Repetitions(50);
  std::atomic<bool> stop = false;
  std::thread runner([&] {
    ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
    original_->UseThread(&thread);
    do {
      ASSERT_OK(CountsTo(*original_, kFirstCount));
      ASSERT_OK(original_->Call<void>("touch_pages", 100).status());
      ASSERT_OK(original_->Reset());
    } while (!stop);
    original_->UseThread(nullptr);
  });
  for (int i = 0; i < rounds; ++i) {
    absl::StatusOr<Sandbox> clone = Clone();
    EXPECT_OK(clone.status());
    if (clone.ok()) {
      EXPECT_OK(clone->Verify());
      EXPECT_OK(CountsTo(*clone, kFirstCount));
    }
  }
  stop = true;
  runner.join();
}

// A killer that never rests: what it has been told to kill it kills, and nothing
// that comes after the reset.
TEST_F(LifetimeTest, KillsMeetCallsAndResets) {
  const int rounds = Repetitions(300);
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  original_->UseThread(&thread);
  ASSERT_OK_AND_ASSIGN(const auto spin, original_->Find<void()>("spin"));
  Mutex mutex;
  std::optional<Killer> target;
  std::atomic<bool> stop = false;
  std::thread other([&] {
    while (!stop) {
      std::optional<Killer> killer;
      {
        MutexLock lock(mutex);
        killer = target;
      }
      if (killer) killer->Kill();
    }
  });
  for (int i = 0; i < rounds && !HasFailure(); ++i) {
    absl::StatusOr<Killer> killer = original_->killer();
    EXPECT_OK(killer.status());
    if (!killer.ok()) break;
    {
      MutexLock lock(mutex);
      target = *killer;
    }
    const absl::StatusOr<Outcome<void>> killed = original_->Call(spin);
    EXPECT_OK(killed.status());
    if (!killed.ok()) break;
    EXPECT_EQ(killed->end(), End::kKilled);
    EXPECT_OK(i % 3 == 0 ? original_->ResetStrictly() : original_->Reset());
    // The last killer is still at it.
    EXPECT_OK(CountsTo(*original_, kFirstCount));
    EXPECT_OK(CountsTo(*original_, kFirstCount + 1));
  }
  stop = true;
  other.join();
}

// A VM belongs to the process that made it. In a child every use of it is an
// error, and everything can be destroyed.
int UseInChild(const Engine& engine, const Program& program, const Image& image,
               std::unique_ptr<Sandbox> used,
               std::unique_ptr<Sandbox> suspended,
               std::unique_ptr<Sandbox> unfrozen, Pool& pool) {
  const auto says_so = [](const absl::Status& status) {
    return absl::StrContains(status.message(), "EIO");
  };
  const auto is_failed = [](Sandbox& sandbox) {
    return absl::StrContains(sandbox.Call<void>("nothing").status().message(),
                             "the sandbox is failed");
  };
  int step = 1;
  if (!says_so(used->Call<void>("nothing").status())) return step;
  ++step;
  if (!is_failed(*used)) return step;
  ++step;
  if (!says_so(suspended->Resume<void>().status())) return step;
  ++step;
  if (!says_so(unfrozen->Freeze().status()) || !is_failed(*unfrozen)) {
    return step;
  }
  ++step;
  if (!says_so(pool.Take().status()) || pool.used_count() != 0) return step;
  ++step;
  used.reset();
  suspended.reset();
  unfrozen.reset();
  // What the child makes is its own.
  absl::StatusOr<Sandbox> clone = Sandbox::Create(image, {});
  if (!clone.ok() || !CountsTo(*clone, kFirstCount).ok()) return step;
  ++step;
  absl::StatusOr<Sandbox> own = Sandbox::Create(engine, program, {}, {});
  if (!own.ok() || !CountsTo(*own, kFirstCount).ok()) return step;
  return 0;
}

TEST_F(LifetimeTest, AChildProcessGetsErrors) {
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  ASSERT_OK_AND_ASSIGN(Sandbox used, Clone());
  ASSERT_OK(CountsTo(used, kFirstCount));
  ASSERT_OK_AND_ASSIGN(Sandbox suspended, Clone());
  suspended.UseThread(&thread);
  ASSERT_OK_AND_ASSIGN(const auto nothing, suspended.Find<void()>("nothing"));
  ASSERT_OK_AND_ASSIGN(const Outcome<void> outcome,
                       suspended.CallLimited({.exits = 0}, nothing));
  ASSERT_EQ(outcome.end(), End::kDeadline);
  suspended.UseThread(nullptr);
  ASSERT_OK_AND_ASSIGN(Sandbox unfrozen,
                       Sandbox::Create(*engine_, *program_, {}, {}));
  ASSERT_OK(CountsTo(unfrozen, kFirstCount));
  Pool pool(*image_, {});
  ASSERT_OK_AND_ASSIGN(Sandbox returned, Clone());
  ASSERT_OK(CountsTo(returned, kFirstCount));
  ASSERT_OK(pool.Return(std::move(returned)));
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(UseInChild(*engine_, *program_, *image_,
                       std::make_unique<Sandbox>(std::move(used)),
                       std::make_unique<Sandbox>(std::move(suspended)),
                       std::make_unique<Sandbox>(std::move(unfrozen)), pool));
  }
  ASSERT_GT(child, 0);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0) << "this step did not come out right";
  // The parent's are as they were.
  ASSERT_OK(CountsTo(used, kFirstCount + 1));
  ASSERT_OK(used.Reset());
  ASSERT_OK(used.Verify());
  ASSERT_OK_AND_ASSIGN(const Outcome<void> resumed, suspended.Resume<void>());
  EXPECT_TRUE(resumed.returned());
  ASSERT_OK(CountsTo(unfrozen, kFirstCount + 1));
  ASSERT_OK_AND_ASSIGN(Sandbox taken, pool.Take());
  ASSERT_OK(CountsTo(taken, kFirstCount));
}

}  // namespace
}  // namespace libvmm::sandbox
