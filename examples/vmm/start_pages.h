// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_START_PAGES_H_
#define LIBVMM_EXAMPLES_VMM_START_PAGES_H_

namespace vmm {

// Gives back the memory that only the start of the program needed: free heap,
// and this program's code, of which the kernel maps back what is still called,
// from its page cache. Loaders, tables and protobuf's start-up are most of the
// code, so a machine that runs is left with a fraction of it.
//
// Cost: two system calls, and a minor page fault for each 64 KiB of code that
// is used again; no reading from the disk while the file is cached.
void ReleaseStartPages();

// Gives threads that are made from now on a stack of 1 MiB instead of 8: where
// the system backs every large mapping by huge pages, the few KiB that a vCPU's
// thread uses would cost it 2 MiB.
void LimitThreadStacks();

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_START_PAGES_H_
