/* Who requires whom. */
#include "config.h"

#include <stdlib.h>

#include "core/runtime/loader_private.h"

static const struct mx_service_row *
service_of(const struct mx_module_self *self, const char *name)
{
	for (size_t i = 0; i < self->image->service_count; i++)
		if (strcmp(self->image->services[i].name, name) == 0)
			return &self->image->services[i];
	return NULL;
}

struct mx_module_self *
mx_need_find(const struct mx_requirement *need, struct mx_module_self *const *v, size_t n,
	     const void **functions)
{
	*functions = NULL;
	for (size_t i = 0; i < n; i++) {
		const struct mx_service_row *s = service_of(v[i], need->name);

		if (s != NULL && s->version >= need->version) {
			*functions = s->functions;
			return v[i];
		}
	}
	for (size_t i = 0; i < n && need->version == 0; i++)
		if (strcmp(v[i]->name, need->name) == 0)
			return v[i];
	return NULL;
}

mx_error *
mx_need_missing(const struct mx_module_self *self, const struct mx_requirement *need,
		struct mx_module_self *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct mx_service_row *s = service_of(v[i], need->name);

		if (s != NULL)
			return mx_error_new(MX_E_CONFIG,
					    "module %s requires the service %s in version %u, and "
					    "%s publishes version %u; "
					    "upgrade %s",
					    self->name, need->name, need->version, v[i]->name,
					    s->version, v[i]->name);
	}
	if (need->version > 0)
		return mx_error_new(MX_E_CONFIG,
				    "module %s requires the service %s>=%u, which no loaded module "
				    "publishes; load one "
				    "that does, or leave %s out of [modules] load",
				    self->name, need->name, need->version, self->name);
	return mx_error_new(MX_E_CONFIG,
			    "module %s requires %s, which is not loaded; load it too, or leave %s "
			    "out of [modules] load",
			    self->name, need->name, self->name);
}

static size_t
index_of(struct mx_module_self *const *v, size_t n, const struct mx_module_self *self)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == self)
			return i;
	return n;
}

/* Whether all that self requires among v[0 … n) stands in v[0 … placed). */
static struct mx_module_self *
first_unplaced(const struct mx_module_self *self, struct mx_module_self *const *v, size_t n,
	       size_t placed)
{
	for (size_t i = 0; i < self->image->need_count; i++) {
		const void *functions;
		struct mx_module_self *from =
			mx_need_find(&self->image->needs[i], v, n, &functions);

		if (from != NULL && index_of(v, n, from) >= placed)
			return from;
	}
	return NULL;
}

/* Everything from v[placed] on waits for something: follow the waiting until it bites its tail. */
static mx_error *
cycle(struct mx_module_self *const *v, size_t n, size_t placed)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	const struct mx_module_self *at = v[placed], *first;

	for (size_t i = 0; i < n; i++)
		at = first_unplaced(at, v, n, placed);
	first = at;
	do {
		mx_buf_printf(b, "%s requires ", at->name);
		at = first_unplaced(at, v, n, placed);
		mx_buf_printf(b, "%s%s", at->name, at == first ? "" : ", ");
	} while (at != first);
	return mx_error_new(MX_E_CONFIG,
			    "modules require each other in a circle: %s; leave one of them out of "
			    "[modules] load",
			    mx_buf_cstr(b));
}

static int
by_name(const void *a, const void *b)
{
	return strcmp((*(struct mx_module_self *const *)a)->name,
		      (*(struct mx_module_self *const *)b)->name);
}

mx_error *
mx_needs_sort(struct mx_module_self **v, size_t n)
{
	if (n > 1)
		qsort(v, n, sizeof(*v), by_name);
	for (size_t placed = 0; placed < n; placed++) {
		size_t i = placed;
		struct mx_module_self *ready;

		while (i < n && first_unplaced(v[i], v, n, placed) != NULL)
			i++;
		if (i == n)
			return cycle(v, n, placed);
		ready = v[i];
		memmove(&v[placed + 1], &v[placed], (i - placed) * sizeof(*v));
		v[placed] = ready;
	}
	return NULL;
}

void
mx_needs_resolve(struct mx_module_self *self, struct mx_module_self *const *v, size_t n)
{
	struct mx_service_use *uses = mx_alloc((self->image->need_count + 1) * sizeof(*uses));
	size_t count = 0;

	for (size_t i = 0; i < self->image->need_count; i++) {
		const void *functions;
		struct mx_module_self *from =
			mx_need_find(&self->image->needs[i], v, n, &functions);

		if (functions == NULL)
			continue;
		mx_self_hold(from);
		uses[count++] =
			(struct mx_service_use){ self->image->needs[i].name, functions, from };
	}
	self->life->uses = uses;
	self->services = uses;
	self->service_count = count;
}

bool
mx_needs_uses(const struct mx_module_self *user, const struct mx_module_self *self,
	      bool services_only)
{
	for (size_t i = 0; i < user->service_count; i++)
		if (user->services[i].from == self)
			return true;
	for (size_t i = 0; i < user->image->need_count && !services_only; i++)
		if (!user->image->needs[i].optional && user->image->needs[i].version == 0 &&
		    strcmp(user->image->needs[i].name, self->name) == 0)
			return true;
	return false;
}
