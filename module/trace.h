/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: one for every change of state, after it happened.
 *
 * Sizes are bytes, clients and pools are ids, offsets are places in a client's
 * space.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM bmem

#if !defined(BMEM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define BMEM_TRACE_H

#include <linux/tracepoint.h>

#include <linux/bmem.h>

#include "bmem_private.h"
#include "event.h"

TRACE_DEFINE_ENUM(BMEM_REASON_LIMIT);
TRACE_DEFINE_ENUM(BMEM_REASON_MEMORY);
TRACE_DEFINE_ENUM(BMEM_REASON_SPACE);
TRACE_DEFINE_ENUM(BMEM_REASON_TOO_LARGE);
TRACE_DEFINE_ENUM(BMEM_REASON_LEDGER);

#define show_bmem_reason(reason)					\
	__print_symbolic(reason,					\
			 { BMEM_REASON_LIMIT, "limit" },		\
			 { BMEM_REASON_MEMORY, "memory" },		\
			 { BMEM_REASON_SPACE, "space" },		\
			 { BMEM_REASON_TOO_LARGE, "too-large" },	\
			 { BMEM_REASON_LEDGER, "ledger" })

TRACE_DEFINE_ENUM(BMEM_EVENT_PRESSURE);
TRACE_DEFINE_ENUM(BMEM_EVENT_CLEANUP_DONE);
TRACE_DEFINE_ENUM(BMEM_EVENT_ALLOC_FAILED);
TRACE_DEFINE_ENUM(BMEM_EVENT_RECALL);
TRACE_DEFINE_ENUM(BMEM_EVENT_COMPACT_WANTED);
TRACE_DEFINE_ENUM(BMEM_EVENT_COMPACTED);
TRACE_DEFINE_ENUM(BMEM_EVENT_LEAK_SUSPECTED);
TRACE_DEFINE_ENUM(BMEM_EVENT_LEAK_CONFIRMED);
TRACE_DEFINE_ENUM(BMEM_EVENT_LEAK_CLEARED);
TRACE_DEFINE_ENUM(BMEM_EVENT_CLIENT_GONE);

#define show_bmem_event_type(type)					\
	__print_symbolic(type,						\
			 { BMEM_EVENT_PRESSURE, "pressure" },		\
			 { BMEM_EVENT_CLEANUP_DONE, "cleanup-done" },	\
			 { BMEM_EVENT_ALLOC_FAILED, "alloc-failed" },	\
			 { BMEM_EVENT_RECALL, "recall" },		\
			 { BMEM_EVENT_COMPACT_WANTED, "compact-wanted" }, \
			 { BMEM_EVENT_COMPACTED, "compacted" },		\
			 { BMEM_EVENT_LEAK_SUSPECTED, "leak-suspected" }, \
			 { BMEM_EVENT_LEAK_CONFIRMED, "leak-confirmed" }, \
			 { BMEM_EVENT_LEAK_CLEARED, "leak-cleared" },	\
			 { BMEM_EVENT_CLIENT_GONE, "client-gone" })

TRACE_DEFINE_ENUM(BMEM_LEAK_UNREFERENCED);
TRACE_DEFINE_ENUM(BMEM_LEAK_UNREACHABLE);
TRACE_DEFINE_ENUM(BMEM_LEAK_CYCLE);
TRACE_DEFINE_ENUM(BMEM_LEAK_GROWTH);
TRACE_DEFINE_ENUM(BMEM_LEAK_SUSPECTED);
TRACE_DEFINE_ENUM(BMEM_LEAK_CONFIRMED);

#define show_bmem_leak_kind(kind)					\
	__print_symbolic(kind,						\
			 { BMEM_LEAK_UNREFERENCED, "unreferenced" },	\
			 { BMEM_LEAK_UNREACHABLE, "unreachable" },	\
			 { BMEM_LEAK_CYCLE, "cycle" },			\
			 { BMEM_LEAK_GROWTH, "growth" })

#define show_bmem_leak_state(state)					\
	__print_symbolic(state,						\
			 { 0, "cleared" },				\
			 { BMEM_LEAK_SUSPECTED, "suspected" },		\
			 { BMEM_LEAK_CONFIRMED, "confirmed" })

DECLARE_EVENT_CLASS(bmem_client,
	TP_PROTO(u64 client, pid_t tgid, const char *comm),
	TP_ARGS(client, tgid, comm),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(pid_t, tgid)
		__array(char, comm, TASK_COMM_LEN)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->tgid = tgid;
		strscpy(__entry->comm, comm, TASK_COMM_LEN);
	),
	TP_printk("client=%llu tgid=%d comm=%s", __entry->client,
		  __entry->tgid, __entry->comm)
);

DEFINE_EVENT(bmem_client, bmem_client_open,
	TP_PROTO(u64 client, pid_t tgid, const char *comm),
	TP_ARGS(client, tgid, comm)
);

DEFINE_EVENT(bmem_client, bmem_client_close,
	TP_PROTO(u64 client, pid_t tgid, const char *comm),
	TP_ARGS(client, tgid, comm)
);

DECLARE_EVENT_CLASS(bmem_span,
	TP_PROTO(u64 client, u64 offset, u32 class),
	TP_ARGS(client, offset, class),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u64, offset)
		__field(u32, class)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->offset = offset;
		__entry->class = class;
	),
	TP_printk("client=%llu offset=%#llx class=%u", __entry->client,
		  __entry->offset, __entry->class)
);

DEFINE_EVENT(bmem_span, bmem_span_add,
	TP_PROTO(u64 client, u64 offset, u32 class),
	TP_ARGS(client, offset, class)
);

DEFINE_EVENT(bmem_span, bmem_span_remove,
	TP_PROTO(u64 client, u64 offset, u32 class),
	TP_ARGS(client, offset, class)
);

TRACE_EVENT(bmem_slots_get,
	TP_PROTO(u64 client, u32 class, u32 nr),
	TP_ARGS(client, class, nr),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u32, class)
		__field(u32, nr)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->class = class;
		__entry->nr = nr;
	),
	TP_printk("client=%llu class=%u nr=%u", __entry->client,
		  __entry->class, __entry->nr)
);

TRACE_EVENT(bmem_slots_put,
	TP_PROTO(u64 client, u32 nr),
	TP_ARGS(client, nr),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u32, nr)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->nr = nr;
	),
	TP_printk("client=%llu nr=%u", __entry->client, __entry->nr)
);

TRACE_EVENT(bmem_bind,
	TP_PROTO(u64 client, u32 pool, const char *label),
	TP_ARGS(client, pool, label),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u32, pool)
		__array(char, label, BMEM_LABEL_LEN)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->pool = pool;
		strscpy(__entry->label, label, BMEM_LABEL_LEN);
	),
	TP_printk("client=%llu pool=%u label=%s", __entry->client,
		  __entry->pool, __entry->label)
);

DECLARE_EVENT_CLASS(bmem_tensor,
	TP_PROTO(u64 client, u64 handle, u64 offset, u64 size, u32 site),
	TP_ARGS(client, handle, offset, size, site),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u64, handle)
		__field(u64, offset)
		__field(u64, size)
		__field(u32, site)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->handle = handle;
		__entry->offset = offset;
		__entry->size = size;
		__entry->site = site;
	),
	TP_printk("client=%llu handle=%#llx offset=%#llx size=%llu site=%u",
		  __entry->client, __entry->handle, __entry->offset,
		  __entry->size, __entry->site)
);

DEFINE_EVENT(bmem_tensor, bmem_alloc,
	TP_PROTO(u64 client, u64 handle, u64 offset, u64 size, u32 site),
	TP_ARGS(client, handle, offset, size, site)
);

DEFINE_EVENT(bmem_tensor, bmem_free,
	TP_PROTO(u64 client, u64 handle, u64 offset, u64 size, u32 site),
	TP_ARGS(client, handle, offset, size, site)
);

TRACE_EVENT(bmem_alloc_fail,
	TP_PROTO(u64 client, u64 size, u64 call_size, int error, int reason,
		 u64 pool_free, u64 largest_hole),
	TP_ARGS(client, size, call_size, error, reason, pool_free,
		largest_hole),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u64, size)
		__field(u64, call_size)
		__field(int, error)
		__field(int, reason)
		__field(u64, pool_free)
		__field(u64, largest_hole)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->size = size;
		__entry->call_size = call_size;
		__entry->error = error;
		__entry->reason = reason;
		__entry->pool_free = pool_free;
		__entry->largest_hole = largest_hole;
	),
	TP_printk("client=%llu size=%llu call_size=%llu error=%d reason=%s pool_free=%llu largest_hole=%llu",
		  __entry->client, __entry->size, __entry->call_size,
		  __entry->error, show_bmem_reason(__entry->reason),
		  __entry->pool_free, __entry->largest_hole)
);

DECLARE_EVENT_CLASS(bmem_chunk,
	TP_PROTO(u64 client, u64 chunk, bool huge),
	TP_ARGS(client, chunk, huge),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u64, offset)
		__field(bool, huge)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->offset = chunk * BMEM_HUGE_SIZE;
		__entry->huge = huge;
	),
	TP_printk("client=%llu offset=%#llx huge=%d", __entry->client,
		  __entry->offset, __entry->huge)
);

DEFINE_EVENT(bmem_chunk, bmem_attach,
	TP_PROTO(u64 client, u64 chunk, bool huge),
	TP_ARGS(client, chunk, huge)
);

DEFINE_EVENT(bmem_chunk, bmem_detach,
	TP_PROTO(u64 client, u64 chunk, bool huge),
	TP_ARGS(client, chunk, huge)
);

TRACE_EVENT(bmem_promote,
	TP_PROTO(u64 client, u64 chunk),
	TP_ARGS(client, chunk),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u64, offset)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->offset = chunk * BMEM_HUGE_SIZE;
	),
	TP_printk("client=%llu offset=%#llx", __entry->client, __entry->offset)
);

TRACE_EVENT(bmem_unshare,
	TP_PROTO(u64 client, u64 chunk, bool huge),
	TP_ARGS(client, chunk, huge),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u64, offset)
		__field(bool, huge)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->offset = chunk * BMEM_HUGE_SIZE;
		__entry->huge = huge;
	),
	TP_printk("client=%llu offset=%#llx huge=%d", __entry->client,
		  __entry->offset, __entry->huge)
);

TRACE_EVENT(bmem_clone,
	TP_PROTO(u64 client, u64 clone, u64 shared, u64 attached),
	TP_ARGS(client, clone, shared, attached),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u64, clone)
		__field(u64, shared)
		__field(u64, attached)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->clone = clone;
		__entry->shared = shared;
		__entry->attached = attached;
	),
	TP_printk("client=%llu clone=%llu shared_bytes=%llu attached_bytes=%llu",
		  __entry->client, __entry->clone, __entry->shared,
		  __entry->attached)
);

TRACE_EVENT(bmem_escape,
	TP_PROTO(u64 client, u32 pages),
	TP_ARGS(client, pages),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u64, size)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->size = (u64)pages * BMEM_PAGE_SIZE;
	),
	TP_printk("client=%llu size=%llu", __entry->client, __entry->size)
);

TRACE_EVENT(bmem_trim,
	TP_PROTO(u64 client, u32 flags, u64 size),
	TP_ARGS(client, flags, size),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u32, flags)
		__field(u64, size)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->flags = flags;
		__entry->size = size;
	),
	TP_printk("client=%llu flags=%#x size=%llu", __entry->client,
		  __entry->flags, __entry->size)
);

TRACE_EVENT(bmem_fault,
	TP_PROTO(u64 client, u64 page, bool huge),
	TP_ARGS(client, page, huge),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u64, offset)
		__field(bool, huge)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->offset = page * BMEM_PAGE_SIZE;
		__entry->huge = huge;
	),
	TP_printk("client=%llu offset=%#llx huge=%d", __entry->client,
		  __entry->offset, __entry->huge)
);

TRACE_EVENT(bmem_tombstone,
	TP_PROTO(u64 client, pid_t tgid, const char *comm, u64 tensors,
		 u64 size),
	TP_ARGS(client, tgid, comm, tensors, size),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(pid_t, tgid)
		__array(char, comm, TASK_COMM_LEN)
		__field(u64, tensors)
		__field(u64, size)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->tgid = tgid;
		strscpy(__entry->comm, comm, TASK_COMM_LEN);
		__entry->tensors = tensors;
		__entry->size = size;
	),
	TP_printk("client=%llu tgid=%d comm=%s tensors=%llu size=%llu",
		  __entry->client, __entry->tgid, __entry->comm,
		  __entry->tensors, __entry->size)
);

TRACE_EVENT(bmem_leak,
	TP_PROTO(u64 client, pid_t tgid, u64 id, u32 kind, u32 state, u32 site,
		 u64 tensors, u64 size),
	TP_ARGS(client, tgid, id, kind, state, site, tensors, size),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(pid_t, tgid)
		__field(u64, id)
		__field(u32, kind)
		__field(u32, state)
		__field(u32, site)
		__field(u64, tensors)
		__field(u64, size)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->tgid = tgid;
		__entry->id = id;
		__entry->kind = kind;
		__entry->state = state;
		__entry->site = site;
		__entry->tensors = tensors;
		__entry->size = size;
	),
	TP_printk("client=%llu tgid=%d finding=%llu kind=%s state=%s site=%u tensors=%llu size=%llu",
		  __entry->client, __entry->tgid, __entry->id,
		  show_bmem_leak_kind(__entry->kind),
		  show_bmem_leak_state(__entry->state), __entry->site,
		  __entry->tensors, __entry->size)
);

TRACE_EVENT(bmem_leak_round,
	TP_PROTO(u64 client, u32 kind, u64 hits, u64 dropped, bool cut_short,
		 u64 ns),
	TP_ARGS(client, kind, hits, dropped, cut_short, ns),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u32, kind)
		__field(u64, hits)
		__field(u64, dropped)
		__field(bool, cut_short)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->kind = kind;
		__entry->hits = hits;
		__entry->dropped = dropped;
		__entry->cut_short = cut_short;
		__entry->ns = ns;
	),
	TP_printk("client=%llu kind=%s hits=%llu dropped=%llu cut_short=%d ns=%llu",
		  __entry->client, show_bmem_leak_kind(__entry->kind),
		  __entry->hits, __entry->dropped, __entry->cut_short,
		  __entry->ns)
);

DECLARE_EVENT_CLASS(bmem_pool_bounds,
	TP_PROTO(u32 pool, u64 limit, u64 reserve),
	TP_ARGS(pool, limit, reserve),
	TP_STRUCT__entry(
		__field(u32, pool)
		__field(u64, limit)
		__field(u64, reserve)
	),
	TP_fast_assign(
		__entry->pool = pool;
		__entry->limit = limit;
		__entry->reserve = reserve;
	),
	TP_printk("pool=%u limit=%llu reserve=%llu", __entry->pool,
		  __entry->limit, __entry->reserve)
);

DEFINE_EVENT(bmem_pool_bounds, bmem_pool_create,
	TP_PROTO(u32 pool, u64 limit, u64 reserve),
	TP_ARGS(pool, limit, reserve)
);

DEFINE_EVENT(bmem_pool_bounds, bmem_pool_resize,
	TP_PROTO(u32 pool, u64 limit, u64 reserve),
	TP_ARGS(pool, limit, reserve)
);

TRACE_EVENT(bmem_scan,
	TP_PROTO(u64 client, u32 processes, u64 words, u64 away, bool cut,
		 u64 ns, int error),
	TP_ARGS(client, processes, words, away, cut, ns, error),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u32, processes)
		__field(u64, words)
		__field(u64, away)
		__field(bool, cut)
		__field(u64, ns)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->processes = processes;
		__entry->words = words;
		__entry->away = away;
		__entry->cut = cut;
		__entry->ns = ns;
		__entry->error = error;
	),
	TP_printk("client=%llu processes=%u words=%llu away=%llu cut=%d ns=%llu error=%d",
		  __entry->client, __entry->processes, __entry->words,
		  __entry->away, __entry->cut, __entry->ns, __entry->error)
);

TRACE_EVENT(bmem_pool_destroy,
	TP_PROTO(u32 pool),
	TP_ARGS(pool),
	TP_STRUCT__entry(
		__field(u32, pool)
	),
	TP_fast_assign(
		__entry->pool = pool;
	),
	TP_printk("pool=%u", __entry->pool)
);

TRACE_EVENT(bmem_pool_zeroed,
	TP_PROTO(u32 pool, int nid),
	TP_ARGS(pool, nid),
	TP_STRUCT__entry(
		__field(u32, pool)
		__field(int, nid)
	),
	TP_fast_assign(
		__entry->pool = pool;
		__entry->nid = nid;
	),
	TP_printk("pool=%u nid=%d", __entry->pool, __entry->nid)
);

TRACE_EVENT(bmem_event,
	TP_PROTO(const struct bmem_event_record *rec),
	TP_ARGS(rec),
	TP_STRUCT__entry(
		__field(u64, serial)
		__field(u64, cause)
		__field(u64, client)
		__field(u32, type)
		__field(u32, pool)
		__field(u32, level)
		__field(u64, size)
		__field(u64, arg)
	),
	TP_fast_assign(
		__entry->serial = rec->event.serial;
		__entry->cause = rec->cause;
		__entry->client = rec->event.client_id;
		__entry->type = rec->event.type;
		__entry->pool = rec->event.pool;
		__entry->level = rec->event.level;
		__entry->size = rec->event.bytes;
		__entry->arg = rec->event.arg;
	),
	TP_printk("serial=%llu type=%s client=%llu pool=%d level=%u size=%llu arg=%llu cause=%llu",
		  __entry->serial, show_bmem_event_type(__entry->type),
		  __entry->client, (int)__entry->pool, __entry->level,
		  __entry->size, __entry->arg, __entry->cause)
);

#endif /* BMEM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
