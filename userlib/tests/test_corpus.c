// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What fuzzing has found to be of interest, played again.
 */
#include <dirent.h>

#include "test.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void play(const char *path)
{
	static unsigned char data[64 * KIB];
	FILE *f = fopen(path, "rb");
	size_t size;

	IS(f);
	size = fread(data, 1, sizeof(data), f);
	IS(feof(f) && !ferror(f));
	fclose(f);
	EQ(LLVMFuzzerTestOneInput(data, size), 0);
}

static void corpus_place(void **state)
{
	const char *folder = TEST_DIR "/corpus/place";
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[4096];
	int played = 0;

	(void)state;
	IS(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		/* A failure aborts in the model: this names the input. */
		fprintf(stderr, "# %s\n", entry->d_name);
		play(path);
		played++;
	}
	closedir(dir);
	IS(played > 0);
}

static const struct CMUnitTest tests[] = {
	TEST(corpus_place),
};

TEST_MAIN(tests)
