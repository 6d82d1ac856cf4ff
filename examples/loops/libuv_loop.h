// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_LOOPS_LIBUV_LOOP_H_
#define LIBVMM_EXAMPLES_LOOPS_LIBUV_LOOP_H_

#include <uv.h>

#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "libvmm/base/clock.h"
#include "libvmm/devices/event_source.h"

namespace loops {

// Serves sources on a program's libuv loop while it lives: for each a uv_poll_t
// and a uv_timer_t. Make one for each machine.
//
// libuv's timers count milliseconds, so OnDeadline comes up to one late. It
// tells a peer that hung up as POLLIN, an error on the descriptor as POLLERR.
//
// Thread-safety: the loop's thread only. May be destroyed in a callback, but
//     not in one of its own sources.
// Ownership: clock and sources are lent. Handles close as libuv has it: their
//     memory goes in the loop's next turn, so run it once more before
//     uv_loop_close. The sources are not touched after destruction.
// Errors: of Create: uv_poll_init's.
// Cost: two handles, 250 bytes, for each source.
class LibuvSources {
 public:
  static absl::StatusOr<LibuvSources> Create(
      uv_loop_t* loop, const libvmm::Clock& clock,
      std::span<libvmm::EventSource* const> sources);
  LibuvSources(LibuvSources&&) = default;
  LibuvSources& operator=(LibuvSources&&) = delete;
  ~LibuvSources();

 private:
  struct Watch;

  LibuvSources() = default;

  std::vector<Watch*> watches_;
};

}  // namespace loops

#endif  // LIBVMM_EXAMPLES_LOOPS_LIBUV_LOOP_H_
