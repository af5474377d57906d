// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Tensors with several holders, and views that keep their base.
 *
 * A table beside the tensors: nothing is in it for a tensor that has one
 * holder, so that the way of an ordinary allocation and free is as it was.  An
 * entry stands for an address: that of a tensor, or of a view, which leads to
 * its tensor.  Addresses are negated: who has lost all pointers to a tensor has
 * lost it, however often it is held, and a look for leaks is not to find one here.
 */
#include <errno.h>

#include "record.h"

#define ROOM_MIN	256

/**
 * struct ref - what is held of an address
 * @key: address, negated, 0 for a free entry
 * @base_key: the tensor that a view is of, likewise, 0 for a tensor
 * @refs: references to the address
 * @views: of a tensor: references to its views
 */
struct ref {
	uintptr_t key;
	uintptr_t base_key;
	uint64_t refs;
	uint64_t views;
};

static uintptr_t key_of(const char *ptr)
{
	return -(uintptr_t)ptr;
}

static char *ptr_of(uintptr_t key)
{
	return (char *)-key;
}

static uint32_t slot_of(const struct refs *r, const char *ptr)
{
	uint64_t hash = ((uintptr_t)ptr >> 6) *
			0x9e3779b97f4a7c15ULL;

	return (uint32_t)(hash >> 32) & (r->room - 1);
}

static struct ref *find(const struct refs *r, const char *ptr)
{
	uint32_t i;

	if (!r->room)
		return NULL;
	for (i = slot_of(r, ptr); r->slots[i].key; i = (i + 1) & (r->room - 1))
		if (r->slots[i].key == key_of(ptr))
			return &r->slots[i];
	return NULL;
}

/* There is room. */
static struct ref *insert(struct refs *r, char *ptr)
{
	uint32_t i = slot_of(r, ptr);

	while (r->slots[i].key)
		i = (i + 1) & (r->room - 1);
	r->slots[i] = (struct ref) { .key = key_of(ptr) };
	r->nr++;
	return &r->slots[i];
}

/* What was put behind it because of it moves up. */
static void erase(struct refs *r, struct ref *gone)
{
	uint32_t hole = (uint32_t)(gone - r->slots), i = hole, mask = r->room - 1;

	for (;;) {
		i = (i + 1) & mask;
		if (!r->slots[i].key)
			break;
		if (((i - slot_of(r, ptr_of(r->slots[i].key))) & mask) <
		    ((i - hole) & mask))
			continue;
		r->slots[hole] = r->slots[i];
		hole = i;
	}
	r->slots[hole].key = 0;
	r->nr--;
}

/* Room for two more. */
static int grow(struct refs *r)
{
	struct refs old = *r;
	struct ref *slots;
	uint32_t i;

	if (r->room && r->nr + 2 <= r->room / 2)
		return 0;
	r->room = old.room ? 2 * old.room : ROOM_MIN;
	slots = scratch_get(r->room * sizeof(*slots));
	if (!slots) {
		r->room = old.room;
		return -ENOMEM;
	}
	r->slots = slots;
	r->nr = 0;
	for (i = 0; i < old.room; i++)
		if (old.slots[i].key)
			*insert(r, ptr_of(old.slots[i].key)) = old.slots[i];
	if (old.room)
		scratch_put(old.slots, old.room * sizeof(*slots));
	return 0;
}

/* The entry of a live tensor; made, with its one holder, where there is none. */
static int tensor_entry(struct bmem_client *c, char *ptr, struct ref **entry)
{
	struct bmem_tensor_desc d = { .sz = sizeof(d) };
	int ret;

	*entry = find(&c->refs, ptr);
	if (*entry)
		return 0;
	ret = bmem_tensor_info(c, ptr, &d);
	if (!ret && d.ptr != ptr)
		ret = -ENOENT;
	if (!ret)
		ret = grow(&c->refs);
	if (ret)
		return ret;
	*entry = insert(&c->refs, ptr);
	(*entry)->refs = 1;
	return 0;
}

/* With one holder, a tensor is like any other. */
static void settle(struct refs *r, struct ref *e)
{
	if (e->refs == 1 && !e->views && !e->base_key)
		erase(r, e);
}

static int ref(struct bmem_client *c, char *ptr)
{
	struct ref *e;
	int ret;

	ret = tensor_entry(c, ptr, &e);
	if (ret)
		return ret;
	e->refs++;
	if (e->base_key)
		find(&c->refs, ptr_of(e->base_key))->views++;
	return 0;
}

int bmem_ref(struct bmem_client *c, void *ptr)
{
	int ret;

	if (!bmem_owns(c, ptr))
		return -EINVAL;
	guard_lock(&c->refs.lock);
	ret = ref(c, ptr);
	guard_unlock(&c->refs.lock);
	return ret;
}

static int view(struct bmem_client *c, char *of, size_t offset, size_t bytes,
		char **out)
{
	struct bmem_tensor_desc d = { .sz = sizeof(d) };
	struct ref *base, *v;
	char *root;
	int ret;

	/* Both can move when the table grows, so that comes first. */
	ret = grow(&c->refs);
	if (!ret)
		ret = tensor_entry(c, of, &base);
	if (!ret && base->base_key)
		base = find(&c->refs, ptr_of(base->base_key));
	if (ret)
		return ret;
	ret = bmem_tensor_info(c, of, &d);
	root = d.ptr;
	if (!ret && (offset > d.bytes - (size_t)(of - root) ||
		     bytes > d.bytes - (size_t)(of - root) - offset))
		ret = -EINVAL;
	/* The address of an empty one at the end may be the next tensor's. */
	if (!ret && offset == d.granted - (size_t)(of - root))
		ret = -EINVAL;
	if (ret) {
		settle(&c->refs, base);
		return ret;
	}
	*out = of + offset;
	if (*out == ptr_of(base->key)) {
		base->refs++;
		return 0;
	}
	base->views++;
	v = find(&c->refs, *out);
	if (!v) {
		v = insert(&c->refs, *out);
		v->base_key = key_of(root);
	}
	v->refs++;
	return 0;
}

void *bmem_view(struct bmem_client *c, void *base, size_t offset, size_t bytes)
{
	char *out = NULL;
	int ret = -EINVAL;

	if (bmem_owns(c, base)) {
		guard_lock(&c->refs.lock);
		ret = view(c, base, offset, bytes, &out);
		guard_unlock(&c->refs.lock);
	}
	if (ret)
		errno = -ret;
	return ret ? NULL : out;
}

/* Answers the tensor in *@gone when nobody holds it any more. */
static int unref(struct bmem_client *c, char *ptr, char **gone)
{
	struct ref *e = find(&c->refs, ptr), *base;

	/* One that never had a second holder. */
	if (!e) {
		*gone = ptr;
		return 0;
	}
	if (!e->refs)
		return -ENOENT;
	e->refs--;
	base = e->base_key ? find(&c->refs, ptr_of(e->base_key)) : e;
	if (e->base_key) {
		base->views--;
		/* What is erased moves others: the base is looked up again. */
		ptr = ptr_of(base->key);
		if (!e->refs)
			erase(&c->refs, e);
		base = find(&c->refs, ptr);
	}
	if (!base->refs && !base->views) {
		*gone = ptr_of(base->key);
		erase(&c->refs, base);
	} else {
		settle(&c->refs, base);
	}
	return 0;
}

int bmem_unref(struct bmem_client *c, void *ptr)
{
	char *gone = NULL;
	int ret;

	if (!ptr)
		return 0;
	if (!bmem_owns(c, ptr))
		return -EINVAL;
	guard_lock(&c->refs.lock);
	ret = unref(c, ptr, &gone);
	guard_unlock(&c->refs.lock);
	if (ret)
		return ret;
	return gone ? bmem_free(c, gone) : 0;
}

/**
 * refs_close() - a client is about to end
 * @c: client
 */
void refs_close(struct bmem_client *c)
{
	if (c->refs.room)
		scratch_put(c->refs.slots,
			    c->refs.room * sizeof(*c->refs.slots));
}
