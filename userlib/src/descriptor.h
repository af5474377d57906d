/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The device's descriptor in a program that does not know of it.
 */
#ifndef BMEM_DESCRIPTOR_H
#define BMEM_DESCRIPTOR_H

#include <stdbool.h>

struct bmem_client;

int descriptor_raise(int fd);
void descriptor_take(struct bmem_client *c, int fd);
bool descriptor_is(const struct bmem_client *c);

#endif /* BMEM_DESCRIPTOR_H */
