// SPDX-License-Identifier: Apache-2.0
// Every system call of libvmm's base failing, one at a time.
#include <fcntl.h>

#include <cerrno>

#include "gtest/gtest.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/testing/fault_check.h"

namespace libvmm::testing {
namespace {

constexpr uint64_t kSize = 1 << 21;

TEST(BaseFaultsTest, EventFd) {
  Check(FaultScenario("EventFd")
            .Survives("write", {}, "interrupted: again; full: still readable")
            .Survives("read", {}, "interrupted: again; empty: zero"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(EventFd event, EventFd::Create());
          LIBVMM_ASSIGN_OR_RETURN(EventFd second, event.Duplicate());
          second.Signal();
          return Expect(event.Drain() <= 1, "at most one signal");
        });
}

TEST(BaseFaultsTest, EventFdIsResumedAfterASignalOfTheHost) {
  // Only EINTR: the signal must then not be lost.
  Check(FaultScenario("EventFd, interrupted")
            .MaySurvive("write", {EINTR}, "again")
            .MaySurvive("read", {EINTR}, "again")
            .GivesCode("write", {}, absl::StatusCode::kInternal, "the body's")
            .GivesCode("read", {}, absl::StatusCode::kInternal, "the body's"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(
              EventFd event, WithoutFaults([] { return EventFd::Create(); }));
          event.Signal();
          return event.Drain() == 1
                     ? absl::OkStatus()
                     : absl::InternalError("write or read was lost");
        });
}

TEST(BaseFaultsTest, UniqueFdDuplicate) {
  Check(FaultScenario("UniqueFd::Duplicate"), []() -> absl::Status {
    const UniqueFd fd =
        WithoutFaults([] { return UniqueFd(::open("/dev/null", O_RDONLY)); });
    return fd.Duplicate().status();
  });
}

TEST(BaseFaultsTest, Mapping) {
  Check(FaultScenario("Mapping, aligned, replaced"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Mapping plain, Mapping::Create({.size = kSize}));
    LIBVMM_ASSIGN_OR_RETURN(
        Mapping aligned,
        Mapping::Create({.size = kSize, .alignment = uint64_t{1} << 22}));
    LIBVMM_RETURN_IF_ERROR(plain.ReplaceWithAnonymous());
    plain.data()[0] = std::byte{1};
    aligned.data()[0] = std::byte{1};
    return absl::OkStatus();
  });
}

}  // namespace
}  // namespace libvmm::testing
