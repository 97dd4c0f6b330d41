/* Something for gcc to compile: the object must have the same bytes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    struct node *left, *right;
    double key;
    char name[32];
};

static struct node *insert(struct node *node, double key, const char *name)
{
    if (!node) {
        node = calloc(1, sizeof *node);
        node->key = key;
        strncpy(node->name, name, sizeof node->name - 1);
    } else if (key < node->key) {
        node->left = insert(node->left, key, name);
    } else {
        node->right = insert(node->right, key, name);
    }
    return node;
}

static double total(const struct node *node)
{
    return node ? total(node->left) + sqrt(fabs(node->key)) + total(node->right) : 0;
}

int main(int argc, char **argv)
{
    struct node *tree = NULL;
    for (int i = 1; i < argc; i++)
        tree = insert(tree, atof(argv[i]), argv[i]);
    printf("%.3f\n", total(tree));
    return 0;
}
