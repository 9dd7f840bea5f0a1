// What Vite makes of an import that ends in `?url`: the address of a file that is put beside the scripts as it is.
declare module "*?url" {
  const address: string;
  export default address;
}
