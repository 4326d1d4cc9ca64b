/* SPDX-License-Identifier: Apache-2.0 */
/* plugin_loader PLUGIN SOCKET: loads, runs and unloads the plugin twice, its names all local. */
#include <dlfcn.h>
#include <stdio.h>

static int run_plugin(const char *plugin, const char *socket_path)
{
    void *loaded = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
    if (loaded == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 6;
    }
    int (*run)(const char *);
    *(void **)&run = dlsym(loaded, "plugin_run");
    int status = run == NULL ? 7 : run(socket_path);
    dlclose(loaded);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int status = run_plugin(argv[1], argv[2]);
    return status != 0 ? status : run_plugin(argv[1], argv[2]);
}
