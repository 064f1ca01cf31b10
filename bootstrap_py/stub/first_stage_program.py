# The end of the first stage where a program is run alone: its text is in a variable, or comes from descriptor 9 where it is long.
e=getattr(os,"environb",os.environ)
e.pop(b"PYTHONSAFEPATH",0)
t=e.pop(b"ec_w",0)
if not t:
 f=os.fdopen(9,"rb")
 t=f.read()
 f.close()
n=int(a[5])
exec(t[:n],{"text":t[n:],"sign":w,"marker":a[3]+a[4]})
