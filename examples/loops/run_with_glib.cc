// SPDX-License-Identifier: Apache-2.0
// A machine in a program that is built on GLib, such as one of GTK.
#include <glib.h>

#include "examples/loops/glib_loop.h"
#include "examples/loops/program.h"

namespace {

absl::Status Serve(loops::Machine& machine) {
  const libvmm::SystemClock clock;
  const loops::GlibSources sources(/*context=*/nullptr, clock,
                                   machine.event_sources());
  GMainLoop* const loop = g_main_loop_new(/*context=*/nullptr, FALSE);
  machine.Start([loop] { g_main_loop_quit(loop); });
  g_main_loop_run(loop);
  g_main_loop_unref(loop);
  return machine.Join();
}

}  // namespace

int main(int argc, char** argv) {
  return loops::RunProgram(argc, argv, "by GLib", Serve);
}
