/* From a module's name to an open object and its descriptor. */
#include "config.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/runtime/loader_private.h"

enum { INSTALLED_MAX = 1000 };

#define LINKED "linked:"

/* What was linked in: a row without an address begins an object, named as its archive
 * ("client_sync.a"). */
static const lt_dlsymlist *linked;

/* ---- where ---- */

const char *
mx_modules_build_folder(struct mx_arena *a)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;
	mx_str folder;

	if (n <= 0)
		return NULL;
	exe[n] = 0;
	slash = strrchr(exe, '/');
	*slash = 0;
	/* libtool keeps the program itself in .libs of the folder that it was configured in. */
	slash = strrchr(exe, '/');
	if (slash != NULL && strcmp(slash, "/.libs") == 0)
		*slash = 0;
	folder = mx_arena_printf(a, "%s/modules", exe);
	if (access(mx_arena_printf(a, "%s/config.status", exe).p, F_OK) != 0 ||
	    access(folder.p, F_OK) != 0)
		return NULL;
	return folder.p;
}

static void
add_dir(struct mx_modules *ms, mx_str dir)
{
	ms->dirs = mx_realloc(ms->dirs, ms->dir_count + 1, sizeof(*ms->dirs));
	ms->dirs[ms->dir_count++] = mx_arena_str(ms->arena, dir).p;
}

void
mx_modules_set_dirs(struct mx_modules *ms, const struct mx_list *path)
{
	const char *env = getenv("MYELIN_MODULE_PATH"), *build;
	mx_str rest, dir;

	for (size_t i = 0; i < path->n; i++)
		add_dir(ms, mx_str_of(path->v[i]));
	if (env != NULL && env[0] != 0) {
		for (rest = mx_str_of(env); rest.n > 0;) {
			if (!mx_str_cut(rest, ':', &dir, &rest))
				rest = (mx_str){ NULL, 0 };
			if (dir.n > 0)
				add_dir(ms, dir);
		}
		return;
	}
	build = mx_modules_build_folder(ms->arena);
	add_dir(ms, mx_str_of(build != NULL ? build : MX_MODULEDIR));
}

/* ---- modules that are linked in ---- */

void
mx_modules_linked(const void *preloaded_symbols)
{
	linked = preloaded_symbols;
	/* Before lt_dlinit: afterwards libltdl has looked for them already. */
	lt_dlpreload_default(preloaded_symbols);
}

bool
mx_module_is_linked(const char *path)
{
	return strncmp(path, LINKED, strlen(LINKED)) == 0;
}

/* The file name without its end of the n-th module in the table; false behind the last. */
static bool
linked_file(size_t n, char *file, size_t room)
{
	for (const lt_dlsymlist *row = linked; row != NULL && row->name != NULL; row++) {
		size_t length = strcspn(row->name, ".");

		/* "@PROGRAM@" is the program itself. */
		if (row->address != NULL || row->name[0] == '@' || length >= room || n-- > 0)
			continue;
		memcpy(file, row->name, length);
		file[length] = 0;
		return true;
	}
	return false;
}

static bool
is_linked(const char *file)
{
	char at[128];

	for (size_t i = 0; linked_file(i, at, sizeof(at)); i++)
		if (strcmp(at, file) == 0)
			return true;
	return false;
}

/* ---- what there is ---- */

const char *
mx_modules_find(struct mx_modules *ms, const char *name, struct mx_arena *a)
{
	char file[128];

	mx_module_file_of(name, file, sizeof(file));
	if (is_linked(file))
		return mx_arena_printf(a, LINKED "%s", file).p;
	for (size_t i = 0; i < ms->dir_count; i++) {
		const char *path = mx_arena_printf(a, "%s/%s.so", ms->dirs[i], file).p;

		if (access(path, F_OK) == 0)
			return path;
		path = mx_arena_printf(a, "%s/%s/.libs/%s.so", ms->dirs[i], name, file).p;
		if (access(path, F_OK) == 0)
			return path;
	}
	return NULL;
}

/* "client_sync.so" gives "client-sync"; anything else is no module. */
static bool
module_file(const char *file, char *name, size_t room)
{
	size_t n = strlen(file);

	if (n < 4 || n >= room || strcmp(file + n - 3, ".so") != 0)
		return false;
	for (size_t i = 0; i < n - 3; i++)
		if (!((file[i] >= 'a' && file[i] <= 'z') || (file[i] >= '0' && file[i] <= '9') ||
		      file[i] == '_'))
			return false;
	mx_module_name_of(file, name, room);
	name[n - 3] = 0;
	return true;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t
mx_modules_installed(struct mx_core *core, struct mx_arena *a, const char ***names)
{
	struct mx_modules *ms = core->modules;
	const char **v = mx_arena_alloc(a, INSTALLED_MAX * sizeof(*v));
	size_t n = 0, kept = 0;
	char file[256], name[256];

	for (size_t i = 0; n < INSTALLED_MAX && linked_file(i, file, sizeof(file)); i++) {
		mx_module_name_of(file, name, sizeof(name));
		v[n++] = mx_arena_str(a, mx_str_of(name)).p;
	}
	for (size_t i = 0; i < ms->dir_count; i++) {
		DIR *d = opendir(ms->dirs[i]);
		struct dirent *entry;

		while (d != NULL && (entry = readdir(d)) != NULL && n < INSTALLED_MAX) {
			mx_module_file_of(entry->d_name, file, sizeof(file));
			if (module_file(entry->d_name, name, sizeof(name)))
				v[n++] = mx_arena_str(a, mx_str_of(name)).p;
			else if (entry->d_name[0] != '.' && strchr(entry->d_name, '.') == NULL &&
				 access(mx_arena_printf(a, "%s/%s/.libs/%s.so", ms->dirs[i],
							entry->d_name, file)
						.p,
					F_OK) == 0)
				v[n++] = mx_arena_str(a, mx_str_of(entry->d_name)).p;
		}
		if (d != NULL)
			closedir(d);
	}
	qsort(v, n, sizeof(*v), by_name);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || strcmp(v[kept - 1], v[i]) != 0)
			v[kept++] = v[i];
	*names = v;
	return kept;
}

/* ---- opening ---- */

static mx_error *
start_ltdl(void)
{
	static bool started;

	if (started)
		return NULL;
	/* Nobody's environment says where code comes from. */
	unsetenv("LTDL_LIBRARY_PATH");
	if (lt_dlinit() != 0)
		return mx_error_new(MX_E_UNKNOWN, "libltdl does not start: %s", lt_dlerror());
	started = true;
	return NULL;
}

/* libltdl calls every failure "file not found": the dynamic linker knows better. */
static mx_error *
open_failed(const char *path, const char *name, const char *shown)
{
	const char *ltdl = lt_dlerror(), *why;
	void *again;

	dlerror();
	again = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	why = again == NULL ? dlerror() : ltdl;
	if (again != NULL)
		dlclose(again);
	return mx_error_new(MX_E_CONFIG, "module %s (%s) cannot be opened: %s", name, shown,
			    why != NULL ? why : "unknown reason");
}

mx_error *
mx_object_open(const char *path, const char *name, const char *shown, lt_dlhandle *handle,
	       struct mx_image **im)
{
	const struct mx_module *m;
	lt_dladvise advise;
	mx_error *e;

	*handle = NULL;
	*im = NULL;
	MX_TRY(start_ltdl());
	if (lt_dladvise_init(&advise) != 0 || lt_dladvise_local(&advise) != 0)
		return mx_error_new(MX_E_UNKNOWN, "libltdl: %s", lt_dlerror());
	/* A linked module is found by its short name only. */
	*handle = lt_dlopenadvise(mx_module_is_linked(path) ? path + strlen(LINKED) : path, advise);
	lt_dladvise_destroy(&advise);
	if (*handle == NULL)
		return open_failed(path, name, shown);
	m = lt_dlsym(*handle, "mx_module");
	if (m == NULL) {
		char file[128];

		mx_module_file_of(name, file, sizeof(file));
		e = mx_error_new(MX_E_CONFIG,
				 "module %s (%s) is not a module of Myelin: it has no symbol "
				 "%s_LTX_mx_module; "
				 "declare it with MX_MODULE(%s)",
				 name, shown, file, file);
	} else {
		e = mx_image_read(m, name, shown, im);
	}
	if (e != NULL) {
		mx_object_close(*handle, 0);
		*handle = NULL;
	}
	return e;
}

static bool
copy_bytes(int from, int to)
{
	char buf[64 << 10];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		for (ssize_t done = 0, w; done < n; done += w)
			if ((w = write(to, buf + done, (size_t)(n - done))) < 0)
				return false;
	return n == 0;
}

/* Copies path to folder/GENERATION/FILE. */
static mx_error *
copy_file(const char *path, const char *to)
{
	int from = open(path, O_RDONLY | O_CLOEXEC), out;
	bool good;

	if (from < 0)
		return mx_error_new(MX_E_CONFIG, "%s cannot be read: %s", path, strerror(errno));
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0700);
	if (out < 0) {
		close(from);
		return mx_error_new(MX_E_CONFIG, "%s cannot be written: %s", to, strerror(errno));
	}
	good = copy_bytes(from, out);
	close(from);
	if (close(out) != 0)
		good = false;
	return good ? NULL
		    : mx_error_new(MX_E_CONFIG, "%s cannot be copied to %s: %s", path, to,
				   strerror(errno));
}

static mx_error *
open_copy_in(unsigned generation, const char *base, const char *path, const char *name,
	     lt_dlhandle *handle, struct mx_image **im)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	const char *dir =
		mx_arena_printf(a, "%s/modules.%ld.%u", base, (long)getpid(), generation).p;
	const char *slash = strrchr(path, '/');
	const char *to = mx_arena_printf(a, "%s/%s", dir, slash != NULL ? slash + 1 : path).p;
	mx_error *e;

	if ((mkdir(base, 0700) != 0 && errno != EEXIST) || mkdir(dir, 0700) != 0)
		return mx_error_new(MX_E_CONFIG, "%s cannot be made: %s", dir, strerror(errno));
	e = copy_file(path, to);
	if (e == NULL)
		e = mx_object_open(to, name, path, handle, im);
	/* What is mapped stays mapped; nothing is left behind when the server is killed. */
	unlink(to);
	rmdir(dir);
	return e;
}

mx_error *
mx_object_open_copy(struct mx_modules *ms, const char *path, const char *name, lt_dlhandle *handle,
		    struct mx_image **im)
{
	/* Never the same twice in a process: a path that is still mapped would give the old code.
	 */
	static unsigned generation;
	const char *tmp = getenv("TMPDIR");
	mx_error *e, *second;

	if (mx_module_is_linked(path))
		return mx_object_open(path, name, path, handle, im);
	generation++;
	e = open_copy_in(generation, ms->folder != NULL ? ms->folder : "run", path, name, handle,
			 im);
	if (e == NULL)
		return NULL;
	/* The first folder may be full, read-only, or on a file system whose files cannot be
	 * executed. */
	second = open_copy_in(generation, tmp != NULL && tmp[0] == '/' ? tmp : "/tmp", path, name,
			      handle, im);
	if (second == NULL) {
		mx_error_free(&e);
		return NULL;
	}
	mx_error_free(&second);
	return e;
}

/* Tools that look at memory after the fact need the object to stay. */
static bool
stays_mapped(void)
{
#ifdef MX_SANITIZED
	return true;
#else
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "vgpreload") != NULL;
#endif
}

void
mx_object_close(lt_dlhandle handle, uint32_t flags)
{
	if (handle != NULL && (flags & MX_MODULE_RESIDENT) == 0 && !stays_mapped())
		lt_dlclose(handle);
}

mx_error *
mx_module_peek(struct mx_core *core, const char *name_or_path, struct mx_image **out)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	const char *slash = strrchr(name_or_path, '/'), *path = name_or_path;
	char name[256];
	lt_dlhandle handle;

	*out = NULL;
	if (slash == NULL) {
		snprintf(name, sizeof(name), "%s", name_or_path);
		path = mx_modules_find(core->modules, name, a);
		if (path == NULL)
			return mx_error_new(MX_E_NOT_FOUND,
					    "there is no module %s; it would be a file %s.so in %s",
					    name, name,
					    core->modules->dirs[core->modules->dir_count - 1]);
	} else if (!module_file(slash + 1, name, sizeof(name))) {
		return mx_error_new(MX_E_CONFIG,
				    "%s is not the file of a module: its name is a-z, 0-9 and _, "
				    "and ends in .so",
				    path);
	}
	MX_TRY(mx_object_open(path, name, path, &handle, out));
	mx_object_close(handle, (*out)->flags);
	return NULL;
}
