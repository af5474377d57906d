// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The layout of every struct of <linux/bmem.h>, in numbers that do not change:
 * programs that were compiled with them are out there.  A struct may grow at
 * its end, which is then added here; anything else here that has to change
 * breaks the ABI.
 *
 * Compiled for 64 and for 32 bits, as C and as C++; never run.
 */
#include <linux/bmem.h>

#ifdef __cplusplus
#define _Static_assert static_assert
#endif

#define SIZE(type, n) \
	_Static_assert(sizeof(struct type) == (n), \
		       "sizeof(struct " #type ") is expected to be " #n)
#define AT(type, field, n) \
	_Static_assert(__builtin_offsetof(struct type, field) == (n), \
		       #field " of struct " #type " is expected at " #n)
#define NUMBER(call, n) \
	_Static_assert((call) == (n), #call " is expected to be " #n)

SIZE(bmem_query, 104);
AT(bmem_query, size, 0);
AT(bmem_query, flags, 4);
AT(bmem_query, caps, 8);
AT(bmem_query, client_id, 16);
AT(bmem_query, space_bytes, 24);
AT(bmem_query, page_size, 32);
AT(bmem_query, huge_size, 36);
AT(bmem_query, align_min, 40);
AT(bmem_query, align_max, 44);
AT(bmem_query, batch_max, 48);
AT(bmem_query, sites_max, 52);
AT(bmem_query, pools_max, 56);
AT(bmem_query, pool, 60);
AT(bmem_query, control_offset, 64);
AT(bmem_query, spans_offset, 72);
AT(bmem_query, spans_bytes, 80);
AT(bmem_query, ledger_offset, 88);
AT(bmem_query, ledger_bytes, 96);

SIZE(bmem_bind, 96);
AT(bmem_bind, size, 0);
AT(bmem_bind, flags, 4);
AT(bmem_bind, pool, 8);
AT(bmem_bind, __reserved, 12);
AT(bmem_bind, cache_bytes, 16);
AT(bmem_bind, label, 24);
AT(bmem_bind, level, 88);
AT(bmem_bind, policy, 92);

SIZE(bmem_clone, 24);
AT(bmem_clone, size, 0);
AT(bmem_clone, flags, 4);
AT(bmem_clone, fd, 8);
AT(bmem_clone, __reserved, 12);
AT(bmem_clone, client_id, 16);

SIZE(bmem_site, 96);
AT(bmem_site, size, 0);
AT(bmem_site, flags, 4);
AT(bmem_site, site, 8);
AT(bmem_site, __reserved, 12);
AT(bmem_site, label, 16);
AT(bmem_site, frames, 80);
AT(bmem_site, nr_frames, 88);
AT(bmem_site, __reserved2, 92);

SIZE(bmem_alloc_entry, 48);
AT(bmem_alloc_entry, bytes, 0);
AT(bmem_alloc_entry, align, 8);
AT(bmem_alloc_entry, site, 12);
AT(bmem_alloc_entry, flags, 16);
AT(bmem_alloc_entry, __reserved, 20);
AT(bmem_alloc_entry, handle, 24);
AT(bmem_alloc_entry, offset, 32);
AT(bmem_alloc_entry, granted, 40);

SIZE(bmem_alloc, 32);
AT(bmem_alloc, size, 0);
AT(bmem_alloc, flags, 4);
AT(bmem_alloc, nr, 8);
AT(bmem_alloc, failed, 12);
AT(bmem_alloc, entries, 16);
AT(bmem_alloc, timeout_ms, 24);
AT(bmem_alloc, __reserved, 28);

SIZE(bmem_free_entry, 16);
AT(bmem_free_entry, handle, 0);
AT(bmem_free_entry, result, 8);
AT(bmem_free_entry, __reserved, 12);

SIZE(bmem_free, 24);
AT(bmem_free, size, 0);
AT(bmem_free, flags, 4);
AT(bmem_free, nr, 8);
AT(bmem_free, freed, 12);
AT(bmem_free, entries, 16);

SIZE(bmem_tensor, 48);
AT(bmem_tensor, handle, 0);
AT(bmem_tensor, offset, 8);
AT(bmem_tensor, bytes, 16);
AT(bmem_tensor, granted, 24);
AT(bmem_tensor, age_ms, 32);
AT(bmem_tensor, site, 40);
AT(bmem_tensor, flags, 44);

SIZE(bmem_tensor_info, 152);
AT(bmem_tensor_info, size, 0);
AT(bmem_tensor_info, flags, 4);
AT(bmem_tensor_info, handle, 8);
AT(bmem_tensor_info, offset, 16);
AT(bmem_tensor_info, tensor, 24);
AT(bmem_tensor_info, label, 72);
AT(bmem_tensor_info, holds, 136);
AT(bmem_tensor_info, links_in, 140);
AT(bmem_tensor_info, links_out, 144);
AT(bmem_tensor_info, __reserved, 148);

SIZE(bmem_tensor_list, 56);
AT(bmem_tensor_list, size, 0);
AT(bmem_tensor_list, flags, 4);
AT(bmem_tensor_list, client_id, 8);
AT(bmem_tensor_list, cursor, 16);
AT(bmem_tensor_list, min_bytes, 24);
AT(bmem_tensor_list, min_age_ms, 32);
AT(bmem_tensor_list, site, 40);
AT(bmem_tensor_list, nr, 44);
AT(bmem_tensor_list, entries, 48);

SIZE(bmem_client_stats, 240);
AT(bmem_client_stats, size, 0);
AT(bmem_client_stats, flags, 4);
AT(bmem_client_stats, client_id, 8);
AT(bmem_client_stats, pool, 16);
AT(bmem_client_stats, sites, 20);
AT(bmem_client_stats, live_tensors, 24);
AT(bmem_client_stats, live_bytes, 32);
AT(bmem_client_stats, granted_bytes, 40);
AT(bmem_client_stats, attached_bytes, 48);
AT(bmem_client_stats, base_bytes, 56);
AT(bmem_client_stats, cached_bytes, 64);
AT(bmem_client_stats, cache_limit_bytes, 72);
AT(bmem_client_stats, meta_bytes, 80);
AT(bmem_client_stats, peak_live_bytes, 88);
AT(bmem_client_stats, peak_attached_bytes, 96);
AT(bmem_client_stats, allocs, 104);
AT(bmem_client_stats, frees, 112);
AT(bmem_client_stats, failed, 120);
AT(bmem_client_stats, promoted, 128);
AT(bmem_client_stats, escaped_bytes, 136);
AT(bmem_client_stats, slots, 144);
AT(bmem_client_stats, slot_bytes, 152);
AT(bmem_client_stats, spans, 160);
AT(bmem_client_stats, span_bytes, 168);
AT(bmem_client_stats, ledger_bytes, 176);
AT(bmem_client_stats, span_map_bytes, 184);
AT(bmem_client_stats, idle_bytes, 192);
AT(bmem_client_stats, ledger_bad, 200);
AT(bmem_client_stats, recorded, 208);
AT(bmem_client_stats, level, 216);
AT(bmem_client_stats, policy, 220);
AT(bmem_client_stats, shared_bytes, 224);
AT(bmem_client_stats, queued_bytes, 232);

SIZE(bmem_trim, 24);
AT(bmem_trim, size, 0);
AT(bmem_trim, flags, 4);
AT(bmem_trim, keep_bytes, 8);
AT(bmem_trim, trimmed_bytes, 16);

SIZE(bmem_pool_create, 72);
AT(bmem_pool_create, size, 0);
AT(bmem_pool_create, flags, 4);
AT(bmem_pool_create, limit_bytes, 8);
AT(bmem_pool_create, reserve_bytes, 16);
AT(bmem_pool_create, policy, 24);
AT(bmem_pool_create, nid, 28);
AT(bmem_pool_create, gid, 32);
AT(bmem_pool_create, pool, 36);
AT(bmem_pool_create, name, 40);

SIZE(bmem_pool_destroy, 16);
AT(bmem_pool_destroy, size, 0);
AT(bmem_pool_destroy, flags, 4);
AT(bmem_pool_destroy, pool, 8);
AT(bmem_pool_destroy, __reserved, 12);

SIZE(bmem_pool_resize, 32);
AT(bmem_pool_resize, size, 0);
AT(bmem_pool_resize, flags, 4);
AT(bmem_pool_resize, pool, 8);
AT(bmem_pool_resize, __reserved, 12);
AT(bmem_pool_resize, limit_bytes, 16);
AT(bmem_pool_resize, reserve_bytes, 24);

SIZE(bmem_pool_list, 24);
AT(bmem_pool_list, size, 0);
AT(bmem_pool_list, flags, 4);
AT(bmem_pool_list, nr, 8);
AT(bmem_pool_list, __reserved, 12);
AT(bmem_pool_list, ids, 16);

SIZE(bmem_pool_stats, 200);
AT(bmem_pool_stats, size, 0);
AT(bmem_pool_stats, flags, 4);
AT(bmem_pool_stats, pool, 8);
AT(bmem_pool_stats, nid, 12);
AT(bmem_pool_stats, clients, 16);
AT(bmem_pool_stats, policy, 20);
AT(bmem_pool_stats, bind_nid, 24);
AT(bmem_pool_stats, gid, 28);
AT(bmem_pool_stats, limit_bytes, 32);
AT(bmem_pool_stats, reserve_bytes, 40);
AT(bmem_pool_stats, total_bytes, 48);
AT(bmem_pool_stats, zeroed_bytes, 56);
AT(bmem_pool_stats, dirty_bytes, 64);
AT(bmem_pool_stats, zeroing_bytes, 72);
AT(bmem_pool_stats, attached_bytes, 80);
AT(bmem_pool_stats, escaped_bytes, 88);
AT(bmem_pool_stats, base_bytes, 96);
AT(bmem_pool_stats, peak_attached_bytes, 104);
AT(bmem_pool_stats, huge_taken, 112);
AT(bmem_pool_stats, huge_given, 120);
AT(bmem_pool_stats, fallbacks, 128);
AT(bmem_pool_stats, promoted, 136);
AT(bmem_pool_stats, escaped_total_bytes, 144);
AT(bmem_pool_stats, failed, 152);
AT(bmem_pool_stats, name, 160);
AT(bmem_pool_stats, shared_bytes, 192);

SIZE(bmem_clock, 4);
AT(bmem_clock, ticks, 0);

SIZE(bmem_control, 12);
AT(bmem_control, level, 0);
AT(bmem_control, recall, 4);
AT(bmem_control, epoch, 8);

SIZE(bmem_record, 16);
AT(bmem_record, what, 0);
AT(bmem_record, head, 8);

SIZE(bmem_module, 176);
AT(bmem_module, size, 0);
AT(bmem_module, flags, 4);
AT(bmem_module, module, 8);
AT(bmem_module, build_id_len, 12);
AT(bmem_module, build_id, 16);
AT(bmem_module, path, 48);

SIZE(bmem_frame, 16);
AT(bmem_frame, module, 0);
AT(bmem_frame, __reserved, 4);
AT(bmem_frame, offset, 8);

SIZE(bmem_slots, 32);
AT(bmem_slots, size, 0);
AT(bmem_slots, flags, 4);
AT(bmem_slots, size_class, 8);
AT(bmem_slots, nr, 12);
AT(bmem_slots, slots, 16);
AT(bmem_slots, timeout_ms, 24);
AT(bmem_slots, __reserved, 28);

SIZE(bmem_site_row, 304);
AT(bmem_site_row, site, 0);
AT(bmem_site_row, site_class, 4);
AT(bmem_site_row, nr_frames, 8);
AT(bmem_site_row, nr_sizes, 12);
AT(bmem_site_row, live_tensors, 16);
AT(bmem_site_row, live_bytes, 24);
AT(bmem_site_row, peak_bytes, 32);
AT(bmem_site_row, allocs, 40);
AT(bmem_site_row, frees, 48);
AT(bmem_site_row, first_ms, 56);
AT(bmem_site_row, last_ms, 64);
AT(bmem_site_row, reuse_ms, 72);
AT(bmem_site_row, sizes, 80);
AT(bmem_site_row, size_hist, 112);
AT(bmem_site_row, life_hist, 176);
AT(bmem_site_row, label, 240);

SIZE(bmem_site_list, 40);
AT(bmem_site_list, size, 0);
AT(bmem_site_list, flags, 4);
AT(bmem_site_list, client_id, 8);
AT(bmem_site_list, cursor, 16);
AT(bmem_site_list, row_size, 24);
AT(bmem_site_list, nr, 28);
AT(bmem_site_list, rows, 32);

SIZE(bmem_site_frames, 32);
AT(bmem_site_frames, size, 0);
AT(bmem_site_frames, flags, 4);
AT(bmem_site_frames, client_id, 8);
AT(bmem_site_frames, site, 16);
AT(bmem_site_frames, nr, 20);
AT(bmem_site_frames, frames, 24);

SIZE(bmem_module_info, 184);
AT(bmem_module_info, size, 0);
AT(bmem_module_info, flags, 4);
AT(bmem_module_info, client_id, 8);
AT(bmem_module_info, module, 16);
AT(bmem_module_info, build_id_len, 20);
AT(bmem_module_info, build_id, 24);
AT(bmem_module_info, path, 56);

SIZE(bmem_client_row, 120);
AT(bmem_client_row, client_id, 0);
AT(bmem_client_row, age_ms, 8);
AT(bmem_client_row, cgroup, 16);
AT(bmem_client_row, pid, 24);
AT(bmem_client_row, uid, 28);
AT(bmem_client_row, pool, 32);
AT(bmem_client_row, mappings, 36);
AT(bmem_client_row, comm, 40);
AT(bmem_client_row, label, 56);

SIZE(bmem_client_list, 32);
AT(bmem_client_list, size, 0);
AT(bmem_client_list, flags, 4);
AT(bmem_client_list, cursor, 8);
AT(bmem_client_list, row_size, 16);
AT(bmem_client_list, nr, 20);
AT(bmem_client_list, rows, 24);

SIZE(bmem_tombstone_row, 272);
AT(bmem_tombstone_row, serial, 0);
AT(bmem_tombstone_row, client_id, 8);
AT(bmem_tombstone_row, lived_ms, 16);
AT(bmem_tombstone_row, closed_ms, 24);
AT(bmem_tombstone_row, cgroup, 32);
AT(bmem_tombstone_row, pid, 40);
AT(bmem_tombstone_row, uid, 44);
AT(bmem_tombstone_row, way, 48);
AT(bmem_tombstone_row, code, 52);
AT(bmem_tombstone_row, live_tensors, 56);
AT(bmem_tombstone_row, live_bytes, 64);
AT(bmem_tombstone_row, granted_bytes, 72);
AT(bmem_tombstone_row, attached_bytes, 80);
AT(bmem_tombstone_row, peak_live_bytes, 88);
AT(bmem_tombstone_row, peak_attached_bytes, 96);
AT(bmem_tombstone_row, allocs, 104);
AT(bmem_tombstone_row, frees, 112);
AT(bmem_tombstone_row, failed, 120);
AT(bmem_tombstone_row, escaped_bytes, 128);
AT(bmem_tombstone_row, nr_sites, 136);
AT(bmem_tombstone_row, rest_sites, 140);
AT(bmem_tombstone_row, rest_tensors, 144);
AT(bmem_tombstone_row, rest_bytes, 152);
AT(bmem_tombstone_row, pool, 160);
AT(bmem_tombstone_row, comm, 192);
AT(bmem_tombstone_row, label, 208);

SIZE(bmem_tombstone_list, 32);
AT(bmem_tombstone_list, size, 0);
AT(bmem_tombstone_list, flags, 4);
AT(bmem_tombstone_list, cursor, 8);
AT(bmem_tombstone_list, row_size, 16);
AT(bmem_tombstone_list, nr, 20);
AT(bmem_tombstone_list, rows, 24);

SIZE(bmem_tombstone_site, 472);
AT(bmem_tombstone_site, site, 0);
AT(bmem_tombstone_site, nr_frames, 4);
AT(bmem_tombstone_site, live_tensors, 8);
AT(bmem_tombstone_site, live_bytes, 16);
AT(bmem_tombstone_site, label, 24);
AT(bmem_tombstone_site, frames, 88);

SIZE(bmem_tombstone_sites, 32);
AT(bmem_tombstone_sites, size, 0);
AT(bmem_tombstone_sites, flags, 4);
AT(bmem_tombstone_sites, serial, 8);
AT(bmem_tombstone_sites, row_size, 16);
AT(bmem_tombstone_sites, nr, 20);
AT(bmem_tombstone_sites, rows, 24);

SIZE(bmem_pressure, 256);
AT(bmem_pressure, size, 0);
AT(bmem_pressure, flags, 4);
AT(bmem_pressure, pool, 8);
AT(bmem_pressure, nid, 12);
AT(bmem_pressure, level, 16);
AT(bmem_pressure, permille, 20);
AT(bmem_pressure, held_bytes, 24);
AT(bmem_pressure, limit_bytes, 32);
AT(bmem_pressure, queued_bytes, 40);
AT(bmem_pressure, cached_bytes, 48);
AT(bmem_pressure, trend, 56);
AT(bmem_pressure, events, 64);
AT(bmem_pressure, recalls, 72);
AT(bmem_pressure, compactions, 80);
AT(bmem_pressure, level_ms, 88);
AT(bmem_pressure, entered, 128);
AT(bmem_pressure, gained_bytes, 168);

SIZE(bmem_tombstone_module, 184);
AT(bmem_tombstone_module, size, 0);
AT(bmem_tombstone_module, flags, 4);
AT(bmem_tombstone_module, serial, 8);
AT(bmem_tombstone_module, module, 16);
AT(bmem_tombstone_module, build_id_len, 20);
AT(bmem_tombstone_module, build_id, 24);
AT(bmem_tombstone_module, path, 56);

SIZE(bmem_event, 64);
AT(bmem_event, size, 0);
AT(bmem_event, type, 4);
AT(bmem_event, serial, 8);
AT(bmem_event, lost, 16);
AT(bmem_event, time_ns, 24);
AT(bmem_event, client_id, 32);
AT(bmem_event, pool, 40);
AT(bmem_event, level, 44);
AT(bmem_event, bytes, 48);
AT(bmem_event, arg, 56);

SIZE(bmem_events, 40);
AT(bmem_events, size, 0);
AT(bmem_events, flags, 4);
AT(bmem_events, mask, 8);
AT(bmem_events, known, 16);
AT(bmem_events, lost, 24);
AT(bmem_events, waiting, 32);
AT(bmem_events, capacity, 36);

SIZE(bmem_link_entry, 24);
AT(bmem_link_entry, from, 0);
AT(bmem_link_entry, to, 8);
AT(bmem_link_entry, result, 16);
AT(bmem_link_entry, __reserved, 20);

SIZE(bmem_link, 24);
AT(bmem_link, size, 0);
AT(bmem_link, flags, 4);
AT(bmem_link, nr, 8);
AT(bmem_link, done, 12);
AT(bmem_link, entries, 16);

SIZE(bmem_leak_scan, 80);
AT(bmem_leak_scan, size, 0);
AT(bmem_leak_scan, flags, 4);
AT(bmem_leak_scan, client_id, 8);
AT(bmem_leak_scan, kinds, 16);
AT(bmem_leak_scan, delay_ms, 20);
AT(bmem_leak_scan, min_age_ms, 24);
AT(bmem_leak_scan, cut_short, 28);
AT(bmem_leak_scan, __reserved, 32);
AT(bmem_leak_scan, suspected, 40);
AT(bmem_leak_scan, confirmed, 48);
AT(bmem_leak_scan, suspected_bytes, 56);
AT(bmem_leak_scan, confirmed_bytes, 64);
AT(bmem_leak_scan, cleared, 72);

SIZE(bmem_leak_row, 232);
AT(bmem_leak_row, id, 0);
AT(bmem_leak_row, client_id, 8);
AT(bmem_leak_row, pid, 16);
AT(bmem_leak_row, kind, 20);
AT(bmem_leak_row, state, 24);
AT(bmem_leak_row, site, 28);
AT(bmem_leak_row, tensors, 32);
AT(bmem_leak_row, bytes, 40);
AT(bmem_leak_row, confirmed_tensors, 48);
AT(bmem_leak_row, confirmed_bytes, 56);
AT(bmem_leak_row, oldest_ms, 64);
AT(bmem_leak_row, first_seen_ms, 72);
AT(bmem_leak_row, checked_ms, 80);
AT(bmem_leak_row, slope, 88);
AT(bmem_leak_row, confidence, 96);
AT(bmem_leak_row, evidence, 100);
AT(bmem_leak_row, nr_samples, 104);
AT(bmem_leak_row, nr_frames, 108);
AT(bmem_leak_row, samples, 112);
AT(bmem_leak_row, label, 144);
AT(bmem_leak_row, hole_bytes, 208);
AT(bmem_leak_row, largest_hole_bytes, 216);
AT(bmem_leak_row, fragmentation, 224);
AT(bmem_leak_row, __reserved, 228);

SIZE(bmem_leak_list, 80);
AT(bmem_leak_list, size, 0);
AT(bmem_leak_list, flags, 4);
AT(bmem_leak_list, client_id, 8);
AT(bmem_leak_list, cursor_client, 16);
AT(bmem_leak_list, cursor, 24);
AT(bmem_leak_list, kinds, 32);
AT(bmem_leak_list, __reserved, 36);
AT(bmem_leak_list, row_size, 40);
AT(bmem_leak_list, nr, 44);
AT(bmem_leak_list, rows, 48);
AT(bmem_leak_list, cleared, 56);
AT(bmem_leak_list, dropped, 64);
AT(bmem_leak_list, cut_short, 72);
AT(bmem_leak_list, __reserved2, 76);

SIZE(bmem_growth_row, 152);
AT(bmem_growth_row, site, 0);
AT(bmem_growth_row, trend, 4);
AT(bmem_growth_row, flags, 8);
AT(bmem_growth_row, confidence, 12);
AT(bmem_growth_row, slope, 16);
AT(bmem_growth_row, since_ms, 24);
AT(bmem_growth_row, rise_bytes, 32);
AT(bmem_growth_row, live_tensors, 40);
AT(bmem_growth_row, live_bytes, 48);
AT(bmem_growth_row, peak_bytes, 56);
AT(bmem_growth_row, allocs, 64);
AT(bmem_growth_row, frees, 72);
AT(bmem_growth_row, last_ms, 80);
AT(bmem_growth_row, label, 88);

SIZE(bmem_growth_list, 40);
AT(bmem_growth_list, size, 0);
AT(bmem_growth_list, flags, 4);
AT(bmem_growth_list, client_id, 8);
AT(bmem_growth_list, cursor, 16);
AT(bmem_growth_list, row_size, 24);
AT(bmem_growth_list, nr, 28);
AT(bmem_growth_list, rows, 32);

SIZE(bmem_leak_skip, 24);
AT(bmem_leak_skip, size, 0);
AT(bmem_leak_skip, flags, 4);
AT(bmem_leak_skip, addr, 8);
AT(bmem_leak_skip, bytes, 16);

NUMBER(BMEM_QUERY, 0xbe40);
NUMBER(BMEM_BIND, 0xbe41);
NUMBER(BMEM_SITE, 0xbe42);
NUMBER(BMEM_ALLOC, 0xbe43);
NUMBER(BMEM_FREE, 0xbe44);
NUMBER(BMEM_TENSOR_INFO, 0xbe45);
NUMBER(BMEM_TENSOR_LIST, 0xbe46);
NUMBER(BMEM_CLIENT_STATS, 0xbe47);
NUMBER(BMEM_TRIM, 0xbe48);
NUMBER(BMEM_POOL_CREATE, 0xbe49);
NUMBER(BMEM_POOL_DESTROY, 0xbe4a);
NUMBER(BMEM_POOL_RESIZE, 0xbe4b);
NUMBER(BMEM_POOL_LIST, 0xbe4c);
NUMBER(BMEM_POOL_STATS, 0xbe4d);
NUMBER(BMEM_SLOTS_GET, 0xbe4e);
NUMBER(BMEM_SLOTS_PUT, 0xbe4f);
NUMBER(BMEM_MODULE, 0xbe50);
NUMBER(BMEM_MODULE_INFO, 0xbe51);
NUMBER(BMEM_SITE_LIST, 0xbe52);
NUMBER(BMEM_SITE_FRAMES, 0xbe53);
NUMBER(BMEM_CLONE, 0xbe54);
NUMBER(BMEM_EVENTS, 0xbe55);
NUMBER(BMEM_LINK, 0xbe56);
NUMBER(BMEM_UNLINK, 0xbe57);
NUMBER(BMEM_CLIENT_LIST, 0xbe58);
NUMBER(BMEM_TOMBSTONE_LIST, 0xbe59);
NUMBER(BMEM_TOMBSTONE_SITES, 0xbe5a);
NUMBER(BMEM_TOMBSTONE_MODULE, 0xbe5b);
NUMBER(BMEM_LEAK_SCAN, 0xbe5c);
NUMBER(BMEM_LEAK_LIST, 0xbe5d);
NUMBER(BMEM_GROWTH_LIST, 0xbe5e);
NUMBER(BMEM_PRESSURE, 0xbe5f);
NUMBER(BMEM_LEAK_SKIP, 0xbe60);
