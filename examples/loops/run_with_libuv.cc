// SPDX-License-Identifier: Apache-2.0
// A machine in a program that is built on libuv.
#include <uv.h>

#include "examples/loops/libuv_loop.h"
#include "examples/loops/program.h"
#include "libvmm/base/status_macros.h"

namespace {

absl::Status Serve(loops::Machine& machine, uv_loop_t& loop) {
  const libvmm::SystemClock clock;
  LIBVMM_ASSIGN_OR_RETURN(
      const loops::LibuvSources sources,
      loops::LibuvSources::Create(&loop, clock, machine.event_sources()));
  machine.Start([&loop] { uv_stop(&loop); });
  uv_run(&loop, UV_RUN_DEFAULT);
  return machine.Join();
}

}  // namespace

int main(int argc, char** argv) {
  return loops::RunProgram(argc, argv, "by libuv", [](loops::Machine& machine) {
    uv_loop_t loop;
    if (const int error = uv_loop_init(&loop)) {
      return absl::InternalError(uv_strerror(error));
    }
    const absl::Status status = Serve(machine, loop);
    // Lets the handles close that Serve had.
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return status;
  });
}
