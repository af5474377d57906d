// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The placement and its selector under libFuzzer: `make fuzz`.  test_corpus.c
 * gives this the inputs that were kept of it.
 */
#include "place_model.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct place_model *pm = pm_new();

	for (; size >= 4; data += 4, size -= 4)
		pm_step(pm, data);
	pm_compare_chunks(pm);
	pm_compare_map(pm);
	pm_compare_shape(pm);
	pm_compare_selector(pm);
	pm_end(pm);
	return 0;
}
