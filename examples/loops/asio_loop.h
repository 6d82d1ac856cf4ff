// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_LOOPS_ASIO_LOOP_H_
#define LIBVMM_EXAMPLES_LOOPS_ASIO_LOOP_H_

#include <asio/io_context.hpp>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "libvmm/base/clock.h"
#include "libvmm/devices/event_source.h"

namespace loops {

// Serves sources on a program's asio::io_context while it lives: for each a
// stream_descriptor to wait on and a steady_timer. Make one for each machine.
//
// Asio ends a wait when the peer hung up or the descriptor has an error, and
// does not say which: the source is told what it waited for and finds out.
//
// Thread-safety: the thread that runs the io_context, which is one alone. May
//     be destroyed in a handler, but not in one of its own sources.
// Ownership: clock, sources and their descriptors are lent; the io_context
//     outlives it. Handlers that are still queued when it is destroyed find it
//     gone and do nothing. A source that asks for nothing is no work, for want
//     of which io_context::run would return: keep a work guard where all may be
//     silent.
// Errors: of Create: what the io_context says to the descriptor.
// Cost: Asio allocates for each wait, mostly from its own cache.
class AsioSources {
 public:
  static absl::StatusOr<AsioSources> Create(
      asio::io_context& io, const libvmm::Clock& clock,
      std::span<libvmm::EventSource* const> sources);

 private:
  class Watch;

  AsioSources() = default;

  // Handlers hold weak pointers.
  std::vector<std::shared_ptr<Watch>> watches_;
};

}  // namespace loops

#endif  // LIBVMM_EXAMPLES_LOOPS_ASIO_LOOP_H_
