/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT */
/*
 * The size classes of small tensors, and how slots lie in their spans.
 *
 * Pure logic, as place.h is.  Classes are eight to a doubling and multiples of
 * 64 bytes, so that rounding up wastes at most an eighth from 512 bytes on.  A
 * span has no more slots than a word has bits.
 */
#ifndef BMEM_PLACE_SLAB_H
#define BMEM_PLACE_SLAB_H

#include "place.h"

#define SLAB_CLASSES		56
#define SLAB_GRANULE		64U
#define SLAB_BYTES_MAX		32768U
#define SLAB_PAGES_MAX		32U
#define SLAB_NONE		SLAB_CLASSES
#define SLAB_ALIGN_MAX		4096U

/**
 * struct slab_class - one size class
 * @bytes: size of a slot, in bytes
 * @pages: length of a span
 * @slots: slots in a span, at most 64
 * @recip: 2^21 / (@bytes / 64), rounded up
 */
struct slab_class {
	u32 bytes;
	u16 pages;
	u16 slots;
	u32 recip;
};

extern const struct slab_class slab_classes[SLAB_CLASSES];
extern const u8 slab_class_by_granules[SLAB_BYTES_MAX / SLAB_GRANULE + 1];

/**
 * slab_class_of() - the smallest class for a size
 * @bytes: 1 to %SLAB_BYTES_MAX
 *
 * Return: number of the class.
 */
static inline u32 slab_class_of(u32 bytes)
{
	return slab_class_by_granules[(bytes + SLAB_GRANULE - 1) /
				      SLAB_GRANULE];
}

/**
 * slab_slot_at() - which slot of a span begins at an offset
 * @class: number of the class
 * @offset: from the span's beginning, in bytes, below its length
 *
 * Return: the slot; or the class's number of slots or more where none begins.
 */
static inline u32 slab_slot_at(u32 class, u32 offset)
{
	const struct slab_class *c = &slab_classes[class];
	u32 slot = (u64)(offset / SLAB_GRANULE) * c->recip >> 21;

	return slot * c->bytes == offset ? slot : 64;
}

u32 slab_class_aligned(u64 bytes, u32 align);

#endif /* BMEM_PLACE_SLAB_H */
