// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The placement under libFuzzer:
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -Imodule \
 *		userlib/tests/fuzz_place.c module/place.c -o fuzz_place
 *	./fuzz_place -max_len=4096
 */
#include "place_model.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct place_model *pm = pm_new();

	for (; size >= 4; data += 4, size -= 4)
		pm_step(pm, data);
	pm_compare_chunks(pm);
	pm_compare_shape(pm);
	pm_end(pm);
	return 0;
}
