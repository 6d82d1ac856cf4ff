// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_LOOPS_TEST_LOOP_H_
#define LIBVMM_EXAMPLES_LOOPS_TEST_LOOP_H_

#include <memory>
#include <span>

#include "libvmm/base/clock.h"
#include "libvmm/devices/event_source.h"

namespace loops {

enum class LoopKind { kEpoll, kLibuv, kAsio, kGlib, kInline };

inline constexpr LoopKind kAllLoops[] = {LoopKind::kEpoll, LoopKind::kLibuv,
                                         LoopKind::kAsio, LoopKind::kGlib,
                                         LoopKind::kInline};

// "Epoll", "Libuv": for the names of tests.
const char* LoopName(LoopKind kind);

// An adapter of this folder together with a loop of its kind, so that one test
// tries them all. What the host refuses ends the program.
class TestLoop {
 public:
  static std::unique_ptr<TestLoop> Create(LoopKind kind,
                                          const libvmm::Clock& clock);
  virtual ~TestLoop() = default;

  // The sources of one machine.
  virtual void Add(std::span<libvmm::EventSource* const> sources) = 0;
  // What one Add was given; gone when this returns.
  virtual void Remove(std::span<libvmm::EventSource* const> sources) = 0;
  // Sleeps until the loop has done something.
  virtual void RunOnce() = 0;
};

}  // namespace loops

#endif  // LIBVMM_EXAMPLES_LOOPS_TEST_LOOP_H_
