// SPDX-License-Identifier: Apache-2.0
// A machine in a program that is built on Asio.
#include <asio/io_context.hpp>

#include "examples/loops/asio_loop.h"
#include "examples/loops/program.h"
#include "libvmm/base/status_macros.h"

namespace {

absl::Status Serve(loops::Machine& machine) {
  const libvmm::SystemClock clock;
  asio::io_context io;
  LIBVMM_ASSIGN_OR_RETURN(
      const loops::AsioSources sources,
      loops::AsioSources::Create(io, clock, machine.event_sources()));
  machine.Start([&io] { io.stop(); });
  io.run();
  return machine.Join();
}

}  // namespace

int main(int argc, char** argv) {
  return loops::RunProgram(argc, argv, "by Asio", Serve);
}
