/* Classes with virtual functions, for a library whose vtables consist of symbolic slots. */

struct Shape {
    virtual ~Shape();
    virtual int area() const = 0;
    virtual const char *name() const;
    int side = 3;
};

struct Named {
    virtual ~Named();
    virtual int length() const;
};

struct Square : Shape, virtual Named {
    int area() const override;
    int length() const override;
};
