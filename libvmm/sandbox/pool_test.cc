// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/pool.h"

#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::StatusIs;

constexpr char kFunctions[] = "libvmm/sandbox/functions.elf";

class PoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(Engine engine, Engine::Open());
    ASSERT_OK_AND_ASSIGN(Program program, Program::Open(kFunctions));
    for (int i = 0; i < 2; ++i) {
      ASSERT_OK_AND_ASSIGN(Sandbox sandbox,
                           Sandbox::Create(engine, program, {}, {}));
      ASSERT_OK_AND_ASSIGN(Image image, sandbox.Freeze());
      images_.push_back(std::move(image));
    }
  }

  // The program's counter starts at 41.
  static uint64_t Count(Sandbox& sandbox) {
    const auto outcome = sandbox.Call<uint64_t>("count");
    return outcome.ok() ? outcome->value() : 0;
  }

  std::vector<Image> images_;
};

TEST_F(PoolTest, HandsOutCleanSandboxes) {
  Pool pool(images_[0], {.capacity = 2});
  ASSERT_OK(pool.Fill(5));
  EXPECT_EQ(pool.clean_count(), 2u);
  ASSERT_OK_AND_ASSIGN(Sandbox one, pool.Take());
  EXPECT_EQ(Count(one), 42u);
  EXPECT_EQ(Count(one), 43u);
  ASSERT_OK(pool.Return(std::move(one)));
  EXPECT_EQ(pool.clean_count(), 1u);
  EXPECT_EQ(pool.used_count(), 1u);
  ASSERT_OK_AND_ASSIGN(const size_t cleaned, pool.Clean());
  EXPECT_EQ(cleaned, 1u);
  EXPECT_EQ(pool.clean_count(), 2u);
  EXPECT_EQ(pool.used_count(), 0u);
  ASSERT_OK_AND_ASSIGN(Sandbox again, pool.Take());
  EXPECT_EQ(Count(again), 42u);
}

TEST_F(PoolTest, CleansWhatIsTakenBeforeClean) {
  for (const bool release : {false, true}) {
    Pool pool(images_[0], {.capacity = 1, .release_memory = release});
    for (int i = 0; i < 3; ++i) {
      ASSERT_OK_AND_ASSIGN(Sandbox sandbox, pool.Take());
      EXPECT_EQ(Count(sandbox), 42u);
      EXPECT_EQ(Count(sandbox), 43u);
      ASSERT_OK(pool.Return(std::move(sandbox)));
      EXPECT_EQ(pool.used_count(), 1u);
    }
  }
}

TEST_F(PoolTest, TakesBackWhatHasFaulted) {
  Pool pool(images_[0], {.strict = true});
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, pool.Take());
  ASSERT_OK_AND_ASSIGN(const Outcome<void> outcome,
                       sandbox.Call<void>("wild_write", 0));
  EXPECT_EQ(outcome.end(), End::kFaulted);
  ASSERT_OK(pool.Return(std::move(sandbox)));
  ASSERT_OK_AND_ASSIGN(Sandbox clean, pool.Take());
  EXPECT_EQ(Count(clean), 42u);
}

TEST_F(PoolTest, RefusesAnotherImagesSandbox) {
  Pool pool(images_[0], {});
  ASSERT_OK_AND_ASSIGN(Sandbox other, Sandbox::Create(images_[1], {}));
  EXPECT_THAT(pool.Return(std::move(other)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(pool.used_count(), 0u);
}

TEST_F(PoolTest, KeepsNoMoreThanItsCapacity) {
  Pool pool(images_[0], {.capacity = 1});
  ASSERT_OK_AND_ASSIGN(Sandbox one, pool.Take());
  ASSERT_OK_AND_ASSIGN(Sandbox two, pool.Take());
  ASSERT_OK(pool.Return(std::move(one)));
  ASSERT_OK(pool.Return(std::move(two)));
  EXPECT_EQ(pool.used_count(), 1u);
}

TEST_F(PoolTest, ServesThreads) {
  Pool pool(images_[0], {.capacity = 4});
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&pool] {
      for (int i = 0; i < 20; ++i) {
        ASSERT_OK_AND_ASSIGN(Sandbox sandbox, pool.Take());
        EXPECT_EQ(Count(sandbox), 42u);
        ASSERT_OK(pool.Return(std::move(sandbox)));
        if (i % 4 == 0) {
          ASSERT_OK(pool.Clean(1).status());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(pool.clean_count() + pool.used_count(), 4u);
}

}  // namespace
}  // namespace libvmm::sandbox
