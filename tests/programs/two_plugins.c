/* SPDX-License-Identifier: Apache-2.0 */
/*
 * two_plugins PLUGIN SOCKET PLUGIN SOCKET: loads both plugins with their names local, then runs
 * them at the same moment, each in a thread.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct plugin {
    int (*run)(const char *);
    const char *socket_path;
    int status;
};

static pthread_barrier_t barrier;

static struct plugin load(const char *path, const char *socket_path)
{
    struct plugin plugin = {.socket_path = socket_path};
    void *loaded = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (loaded == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(6);
    }
    *(void **)&plugin.run = dlsym(loaded, "plugin_run");
    return plugin;
}

static void *run(void *argument)
{
    struct plugin *plugin = argument;
    pthread_barrier_wait(&barrier);
    plugin->status = plugin->run(plugin->socket_path);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[2];
    if (argc < 5)
        return 2;
    struct plugin plugins[2] = {load(argv[1], argv[2]), load(argv[3], argv[4])};
    if (pthread_barrier_init(&barrier, NULL, 2) != 0)
        return 7;
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, run, &plugins[i]) != 0)
            return 8;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return plugins[0].status != 0 ? plugins[0].status : plugins[1].status;
}
