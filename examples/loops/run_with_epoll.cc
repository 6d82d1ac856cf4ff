// SPDX-License-Identifier: Apache-2.0
// A machine on a loop of the program's own.
#include "examples/loops/epoll_loop.h"
#include "examples/loops/program.h"
#include "libvmm/base/status_macros.h"

namespace {

absl::Status Serve(loops::Machine& machine) {
  const libvmm::SystemClock clock;
  LIBVMM_ASSIGN_OR_RETURN(loops::EpollLoop loop,
                          loops::EpollLoop::Create(clock));
  LIBVMM_RETURN_IF_ERROR(loop.Add(machine.event_sources()));
  bool ended = false;
  machine.Start([&ended] { ended = true; });
  while (!ended) LIBVMM_RETURN_IF_ERROR(loop.RunOnce());
  return machine.Join();
}

}  // namespace

int main(int argc, char** argv) {
  return loops::RunProgram(argc, argv, "by epoll", Serve);
}
