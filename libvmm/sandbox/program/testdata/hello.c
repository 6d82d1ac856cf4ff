/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

__thread int visits = 7;

int Visit(void) { return ++visits; }

int main(void) { return printf("hello %d\n", Visit()) < 0; }
