// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* One tensor, and what is known of it. */
#include <errno.h>
#include <stdio.h>

#include <bmem.h>

int main(void)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	struct bmem_tensor_desc d = { .sz = sizeof(d) };
	int ret = bmem_open(&c, NULL);

	if (ret) {
		fprintf(stderr, "hello: %s\n", bmem_strerror(ret));
		return 1;
	}
	BMEM_AUTO struct bmem_scoped t =
		bmem_scoped_alloc(c, 2202010, 0, BMEM_ALLOC_ZERO, "weights");

	if (!t.ptr || bmem_tensor_info(c, t.ptr, &d)) {
		fprintf(stderr, "hello: %s\n", bmem_strerror(errno));
		return 1;
	}
	printf("%llu bytes (%llu granted) from \"%s\" by backend %s\n",
	       (unsigned long long)d.bytes, (unsigned long long)d.granted,
	       d.label, bmem_backend_name(c));
	return 0;
}
