// SPDX-License-Identifier: Apache-2.0
// The harness must be able to fail: each thing that it looks for is done here
// on purpose.
#include "libvmm/testing/fault_injection.h"

#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/mapping.h"
#include "libvmm/kvm/abi.h"

namespace libvmm::testing {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::Status MakeEventFd() { return EventFd::Create().status(); }

TEST(FaultInjectionTest, RightCodeIsFoundRight) {
  const FaultReport report = FaultScenario("event").Run(MakeEventFd);
  EXPECT_EQ(report.calls, 1);
  EXPECT_EQ(report.faults, 3);  // EMFILE, ENFILE, ENOMEM
  EXPECT_THAT(report.wrong, IsEmpty());
}

TEST(FaultInjectionTest, EveryCallIsFailedInItsTurn) {
  const FaultReport report = FaultScenario("two").Run([] {
    const absl::Status first = MakeEventFd();
    return first.ok() ? MakeEventFd() : first;
  });
  EXPECT_EQ(report.calls, 2);
  EXPECT_EQ(report.faults, 6);
  EXPECT_THAT(report.wrong, IsEmpty());
}

TEST(FaultInjectionTest, WhatIsKeptOnPurposeMustBeKept) {
  // A descriptor stays open when the second call fails, as long as `keep`.
  const auto body = [](bool keep) {
    return [keep]() -> absl::Status {
      const int kept = ::memfd_create("kept", MFD_CLOEXEC);
      if (kept < 0) return ErrnoStatus(errno, "memfd_create");
      const bool failed = !MakeEventFd().ok();
      if (!failed || !keep) ::close(kept);
      return absl::OkStatus();
    };
  };
  EXPECT_THAT(FaultScenario("keeps")
                  .Keeps("eventfd", {}, "a test")
                  .Run(body(true))
                  .wrong,
              IsEmpty());
  EXPECT_THAT(FaultScenario("keeps nothing")
                  .Keeps("eventfd", {}, "a test")
                  .Run(body(false))
                  .wrong,
              Each(HasSubstr("nothing was kept")));
  EXPECT_THAT(FaultScenario("keeps unasked")
                  .Survives("eventfd", {}, "a test")
                  .Run(body(true))
                  .wrong,
              Contains(HasSubstr("left behind")));
}

TEST(FaultInjectionTest, AnIgnoredFaultIsWrongUnlessDeclared) {
  const auto ignore = [] {
    MakeEventFd().IgnoreError();
    return absl::OkStatus();
  };
  EXPECT_THAT(FaultScenario("ignores").Run(ignore).wrong,
              ElementsAre(HasSubstr("EMFILE: no error came of it"),
                          HasSubstr("ENFILE"), HasSubstr("ENOMEM")));
  EXPECT_THAT(FaultScenario("declared")
                  .Survives("eventfd", {EMFILE, ENFILE}, "a test")
                  .Run(ignore)
                  .wrong,
              ElementsAre(HasSubstr("ENOMEM: no error came of it")));
  EXPECT_THAT(FaultScenario("declared")
                  .Survives("eventfd", {}, "a test")
                  .Run(ignore)
                  .wrong,
              IsEmpty());
}

TEST(FaultInjectionTest, AStaleDeclarationIsWrong) {
  EXPECT_THAT(FaultScenario("stale")
                  .Survives("eventfd", {}, "a test")
                  .Run(MakeEventFd)
                  .wrong,
              ElementsAre(HasSubstr("is for nothing")));
  EXPECT_THAT(FaultScenario("stale")
                  .MaySurvive("eventfd", {}, "a test")
                  .Run(MakeEventFd)
                  .wrong,
              IsEmpty());
}

TEST(FaultInjectionTest, AnErrorThatDoesNotNameTheCallIsWrong) {
  const auto vague = [] {
    return MakeEventFd().ok() ? absl::OkStatus()
                              : absl::ResourceExhaustedError("no counter");
  };
  EXPECT_THAT(FaultScenario("vague").Run(vague).wrong,
              Each(HasSubstr("does not name the call: no counter")));
  EXPECT_THAT(
      FaultScenario("vague").Reports("eventfd", "counter").Run(vague).wrong,
      IsEmpty());
}

TEST(FaultInjectionTest, AnotherCodeThanTheErrnosIsWrongUnlessDeclared) {
  // The name of the call is there, but the code tells the caller nothing.
  const auto vague = [] {
    return MakeEventFd().ok() ? absl::OkStatus()
                              : absl::UnknownError("eventfd failed");
  };
  const FaultReport report = FaultScenario("vague").Run(vague);
  EXPECT_THAT(report.wrong,
              ElementsAre(HasSubstr("UNKNOWN, not RESOURCE_EXHAUSTED"),
                          HasSubstr("UNKNOWN"), HasSubstr("UNKNOWN")));
  EXPECT_EQ(report.wrong_codes, 3);
  EXPECT_EQ(report.leaks, 0);
  EXPECT_THAT(FaultScenario("declared")
                  .GivesCode("eventfd", {}, absl::StatusCode::kUnknown, "test")
                  .Run(vague)
                  .wrong,
              IsEmpty());
  EXPECT_THAT(FaultScenario("stale")
                  .GivesCode("eventfd", {}, absl::StatusCode::kUnknown, "test")
                  .Run(MakeEventFd)
                  .wrong,
              ElementsAre(HasSubstr("GivesCode(\"eventfd\") is for nothing")));
}

TEST(FaultInjectionTest, ErrnosAreReportedByName) {
  EXPECT_THAT(FaultScenario("event").Run(MakeEventFd).errnos,
              ElementsAre("EMFILE", "ENFILE", "ENOMEM"));
}

TEST(FaultInjectionTest, ADescriptorThatBecameAnotherFileIsFound) {
  int fd = ::memfd_create("same", MFD_CLOEXEC);
  const FaultReport report = FaultScenario("swaps").Run([&] {
    const absl::Status status = MakeEventFd();
    if (!status.ok()) {
      // The number stays in use, and the name is the same.
      ::close(fd);
      WithoutFaults([&] { return fd = ::memfd_create("same", MFD_CLOEXEC); });
    }
    return status;
  });
  EXPECT_THAT(report.wrong, Contains(HasSubstr("is another: ")));
  EXPECT_GE(report.leaks, 1);
  ::close(fd);
}

TEST(FaultInjectionTest, AMappingThatMovedIsFound) {
  // A file's, so that it is told from sanitizers' memory.
  const int fd = ::memfd_create("moves", MFD_CLOEXEC);
  const size_t size = PageSize();
  ASSERT_EQ(::ftruncate(fd, static_cast<off_t>(size)), 0);
  const auto map = [&] {
    return ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  };
  void* place = map();
  const FaultReport report = FaultScenario("moves").Run([&] {
    const absl::Status status = MakeEventFd();
    if (!status.ok()) {
      // Mapped before the old one goes: it cannot be at the same address.
      void* const moved = WithoutFaults(map);
      ::munmap(place, size);
      place = moved;
    }
    return status;
  });
  EXPECT_THAT(report.wrong, Contains(HasSubstr("memfd:moves")));
  ::munmap(place, size);
  ::close(fd);
}

TEST(FaultInjectionTest, AScriptedIoctlIsAnsweredAndFailedInItsTurn) {
  constexpr unsigned long kRequest = KVM_XEN_HVM_GET_ATTR;
  const auto ask = [] {
    const int fd = WithoutFaults([] { return ::eventfd(0, EFD_CLOEXEC); });
    int value = 0;
    const int result = ::ioctl(fd, kRequest, &value);
    const int error = errno;
    ::close(fd);
    if (result < 0) return ErrnoStatus(error, "KVM_XEN_HVM_GET_ATTR");
    return result == 5 && value == 7 ? absl::OkStatus()
                                     : absl::InternalError("another answer");
  };
  const auto answer = [](uintptr_t argument) -> std::optional<int> {
    *reinterpret_cast<int*>(argument) = 7;
    return 5;
  };
  const FaultReport report = FaultScenario("scripted")
                                 .Answers("KVM_XEN_HVM_GET_ATTR", answer)
                                 .Run(ask);
  EXPECT_EQ(report.calls, 1);
  EXPECT_EQ(report.faults, 4);  // ENOENT, EFAULT, EIO, ENOTTY
  EXPECT_THAT(report.wrong, IsEmpty());
  EXPECT_THAT(FaultScenario("unscripted").Run(ask).wrong,
              ElementsAre(HasSubstr("without a fault")));
  EXPECT_THAT(FaultScenario("stale")
                  .Answers("KVM_XEN_HVM_SET_ATTR", 0)
                  .Run(MakeEventFd)
                  .wrong,
              ElementsAre(HasSubstr("never asked")));
}

TEST(FaultInjectionTest, ALostDescriptorIsFound) {
  std::vector<int> lost;
  const FaultReport report = FaultScenario("loses").Run([&] {
    const int fd = ::eventfd(0, EFD_CLOEXEC);
    if (fd < 0) return ErrnoStatus(errno, "eventfd");
    const absl::Status second = MakeEventFd();
    if (second.ok()) {
      ::close(fd);
    } else {
      lost.push_back(fd);
    }
    return second;
  });
  EXPECT_THAT(report.wrong, Contains(HasSubstr("[eventfd]")));
  for (const int fd : lost) ::close(fd);
}

TEST(FaultInjectionTest, ALostMappingIsFound) {
  const size_t size = PageSize();
  std::vector<Mapping> lost;
  lost.reserve(16);
  const FaultReport report = FaultScenario("loses").Run([&]() -> absl::Status {
    // Executable, so that it is told from sanitizers' memory by its file.
    absl::StatusOr<Mapping> mapping =
        Mapping::Create({.size = size,
                         .protection = PROT_READ,
                         .flags = MAP_SHARED,
                         .fd = WithoutFaults([] {
                           static const int fd =
                               ::memfd_create("lost", MFD_CLOEXEC);
                           return fd;
                         })});
    if (!mapping.ok()) return mapping.status();
    const absl::Status second = MakeEventFd();
    if (!second.ok()) lost.push_back(*std::move(mapping));
    return second;
  });
  EXPECT_THAT(report.wrong, Contains(HasSubstr("memfd:lost")));
}

TEST(FaultInjectionTest, LostHeapIsFound) {
  std::vector<std::unique_ptr<char[]>> lost;
  lost.reserve(16);
  const FaultReport report = FaultScenario("loses").Run([&] {
    auto block = std::make_unique<char[]>(1000);
    const absl::Status status = MakeEventFd();
    if (!status.ok()) lost.push_back(std::move(block));
    return status;
  });
  EXPECT_THAT(report.wrong, Contains(HasSubstr("the heap has")));
}

TEST(FaultInjectionTest, ADoubleCloseIsFound) {
  const FaultReport report = FaultScenario("twice").Run([] {
    const int fd = ::eventfd(0, EFD_CLOEXEC);
    if (fd >= 0) ::close(fd);
    const int error = errno;
    ::close(fd);
    return fd < 0 ? ErrnoStatus(error, "eventfd") : absl::OkStatus();
  });
  EXPECT_THAT(report.wrong,
              Contains(HasSubstr("close of something not owned")));
}

TEST(FaultInjectionTest, CallsInWithoutFaultsAreLeftAlone) {
  const FaultReport report = FaultScenario("setup").Run([] {
    const absl::Status setup = WithoutFaults([] { return MakeEventFd(); });
    return setup.ok() ? MakeEventFd() : absl::InternalError("setup failed");
  });
  EXPECT_EQ(report.calls, 1);
  EXPECT_THAT(report.wrong, IsEmpty());
}

TEST(FaultInjectionTest, ABodyThatFailsByItselfIsWrong) {
  const FaultReport report = FaultScenario("broken").Run(
      [] { return absl::InternalError("by itself"); });
  EXPECT_THAT(report.wrong, ElementsAre(HasSubstr("by itself")));
}

}  // namespace
}  // namespace libvmm::testing
